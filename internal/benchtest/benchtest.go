// Package benchtest measures ways to do the same thing beside each other. What
// else the machine does meets all of them, so that the ratios hold where the
// times do not.
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

// Turns runs each contender once per iteration and returns the median time of
// each in nanoseconds, by name. A first round, which makes connections and
// fills caches, is not counted. The order changes with each iteration: what one
// contender leaves to do, to servers and to the garbage collector, would
// otherwise always meet the same next one.
func Turns(b *testing.B, contenders ...Contender) map[string]float64 {
	b.Helper()
	for _, c := range contenders {
		c.run()
	}
	order := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same order each time is as good
	times := make([][]float64, len(contenders))
	for b.Loop() {
		for _, i := range order.Perm(len(contenders)) {
			times[i] = append(times[i], contenders[i].run())
		}
	}
	medians := map[string]float64{}
	for i, c := range contenders {
		medians[c.Name] = Median(times[i])
		b.ReportMetric(medians[c.Name], c.Name+"-ns")
	}
	// The time of a round says nothing.
	b.ReportMetric(0, "ns/op")
	return medians
}

// run returns how long it took.
func (c Contender) run() float64 {
	start := time.Now()
	c.Run()
	took := time.Since(start)
	if c.After != nil {
		c.After()
	}
	return float64(took)
}

// Median is the middle of some values, zero if there are none. It sorts them.
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
