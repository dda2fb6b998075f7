// Package benchtest measures ways to do the same thing side by side. Other load on the
// machine affects all of them, so the ratios are reliable where the times are not.
// benchtest.go measures, cpu_unix.go reads processor time, quiet.go silences
// containerd.
package benchtest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Contender is one way to do something.
type Contender struct {
	// Name is the unit under which the median time is reported, with "-ns".
	Name string
	Run  func()
	// After cleans up after Run; its time does not count. It may be nil.
	After func()
}

// Runs holds the times that contenders took, by name, in nanoseconds and in the order
// of the rounds. Under the name with "/cpu" appended is the processor time of the whole
// process meanwhile, including its servers and garbage collection; it is zero if
// unknown.
type Runs map[string][]float64

// Median returns the median time of a contender.
func (r Runs) Median(name string) float64 { return Median(slices.Clone(r[name])) }

// Ratio returns the median, over the rounds, of how many times as long as the other a
// contender took. If the machine is busy for some rounds that is more reliable than the
// ratio of two medians.
func (r Runs) Ratio(name, other string) float64 {
	ratios := make([]float64, len(r[name]))
	for i, took := range r[name] {
		ratios[i] = took / r[other][i]
	}
	return Median(ratios)
}

// Turns runs each contender once per round, reports the median time of each, and
// returns all times. It does not count a first round, which makes connections and fills
// caches. The order changes with each round: otherwise the work that one contender
// leaves to servers and the garbage collector would always slow the same next one.
func Turns(b *testing.B, contenders ...Contender) Runs {
	b.Helper()
	for _, c := range contenders {
		c.run()
	}
	order := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same order each time is as good
	runs := Runs{}
	for b.Loop() {
		for _, i := range order.Perm(len(contenders)) {
			name := contenders[i].Name
			took, used := contenders[i].run()
			runs[name], runs[name+"/cpu"] = append(runs[name], took), append(runs[name+"/cpu"], used)
		}
	}
	for _, c := range contenders {
		b.ReportMetric(runs.Median(c.Name), c.Name+"-ns")
	}
	// The time of a whole round is meaningless: hide it.
	b.ReportMetric(0, "ns/op")
	return runs
}

// run runs the contender and returns how long it took, and how much processor time.
func (c Contender) run() (took, used float64) {
	start, before := time.Now(), cpuTime()
	c.Run()
	took, used = float64(time.Since(start)), float64(cpuTime()-before)
	if c.After != nil {
		c.After()
	}
	return took, used
}

// Median returns the median of values, zero if there are none. It sorts them.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
