package main

import (
	"bufio"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// result is a benchmark's comparison of two ways to do the same thing: how many times
// as long one takes as the other.
type result struct {
	Benchmark, Name, Beside string
	// Ratios are the ratios of its runs.
	Ratios []float64
}

// median returns the median ratio.
func (r result) median() float64 {
	sorted := slices.Sorted(slices.Values(r.Ratios))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

var (
	// processors matches the suffix that go test appends to a name.
	processors = regexp.MustCompile(`-\d+$`)
	// ratio matches a unit that compares two contenders, but not their processor times.
	ratio = regexp.MustCompile(`^([a-z]+)/([a-z+]+)$`)
)

// errNothing reports that the output has nothing to draw.
var errNothing = errors.New("no benchmark here compares two ways: feed the output of go test -bench")

// maxLine bounds a line of the output.
const maxLine = 1 << 20

// read reads the output of go test -bench. It keeps its order.
func read(r io.Reader) ([]result, error) {
	var results []result
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := safetext.Line(processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), ""), safetext.MaxName)
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if m := ratio.FindStringSubmatch(fields[i+1]); m != nil && m[2] != "op" && err == nil && value > 0 && !math.IsInf(value, 0) {
				results = add(results, result{name, m[1], m[2], []float64{value}})
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(results) == 0 {
		return nil, errNothing
	}
	return results, nil
}

// ours are the contenders of this project, which come first in a comparison.
var ours = []string{"certsd", "gateway", "cri", "plugin", "convert"}

// add merges a result into those of the same name, turned round if necessary to say how
// long ours took.
func add(results []result, r result) []result {
	if slices.Contains(ours, r.Beside) && !slices.Contains(ours, r.Name) {
		r.Name, r.Beside, r.Ratios[0] = r.Beside, r.Name, 1/r.Ratios[0]
	}
	for i := range results {
		if known := &results[i]; known.Benchmark == r.Benchmark && known.Name == r.Name && known.Beside == r.Beside {
			known.Ratios = append(known.Ratios, r.Ratios...)
			return results
		}
	}
	return append(results, r)
}
