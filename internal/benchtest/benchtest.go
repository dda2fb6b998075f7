// Package benchtest measures ways to do the same thing side by side. Whatever
// else the machine does affects all of them, so the ratios hold where the
// times do not. benchtest.go measures, cpu_unix.go reads processor time, quiet.go
// silences containerd.
package benchtest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Contender is one of the ways.
type Contender struct {
	// Name is the unit under which the median time is reported, with "-ns".
	Name string
	Run  func()
	// After clears away what Run leaves behind; its time does not count. It may
	// be nil.
	After func()
}

// Runs are the times that contenders took, by name, in nanoseconds and in the
// order of the rounds. Under the name with "/cpu" behind it is the processor
// time of the whole process meanwhile, servers in it and what a contender leaves
// to the garbage collector included; it is zero where it cannot be known.
type Runs map[string][]float64

// Median returns the median time of a contender.
func (r Runs) Median(name string) float64 { return Median(slices.Clone(r[name])) }

// Ratio returns the median of how many times as long as the other a contender took
// in the same round. Where the machine is busy for some rounds that says more
// than the ratio of two medians.
func (r Runs) Ratio(name, other string) float64 {
	ratios := make([]float64, len(r[name]))
	for i, took := range r[name] {
		ratios[i] = took / r[other][i]
	}
	return Median(ratios)
}

// Turns runs each contender once per round, reports the median time of each,
// and returns all times. A first round, which makes connections and fills
// caches, is not counted. The order changes with each round: what one contender
// leaves to do, to servers and to the garbage collector, would otherwise always
// meet the same next one.
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
	// The time of a round says nothing.
	b.ReportMetric(0, "ns/op")
	return runs
}

// run returns how long it took, and how much processor time.
func (c Contender) run() (took, used float64) {
	start, before := time.Now(), cpuTime()
	c.Run()
	took, used = float64(time.Since(start)), float64(cpuTime()-before)
	if c.After != nil {
		c.After()
	}
	return took, used
}

// Median returns the middle of some values, zero if there are none. It sorts them.
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
