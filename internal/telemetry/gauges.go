package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxLabel bounds the value of a label in characters, as the status bounds names.
const maxLabel = 500

// label returns the value of a label for a name that others have chosen: a file name
// may have bytes that are not UTF-8, on which the metrics library panics, and escapes
// that a terminal obeys.
func label(name string) string { return safetext.Line(name, maxLabel) }

// labelled holds the labels of a series, the second empty if there is only one.
type labelled struct{ first, second string }

// gauges caches the series of one metric, each a time, as they were last shown: making
// one is the most expensive part of reading the metrics.
type gauges struct {
	desc *prometheus.Desc
	// one reports whether there is only one label.
	one bool

	mu    sync.Mutex // guards the rest
	shown map[labelled]gauge
	// order are the keys of shown sorted by label: prometheus sorts faster what is
	// already sorted.
	order []labelled
}

type gauge struct {
	value  int64
	metric prometheus.Metric
}

func newGauges(desc *prometheus.Desc) *gauges { return &gauges{desc: desc} }

// of returns the series of exactly these times.
func (g *gauges) of(at map[labelled]time.Time) []prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shown == nil {
		g.shown = make(map[labelled]gauge, len(at))
	}
	same := len(at) == len(g.shown)
	for k, t := range at {
		before, ok := g.shown[k]
		same = same && ok
		if value := t.Unix(); !ok || before.value != value {
			g.shown[k] = gauge{value, g.metric(k, value)}
		}
	}
	if !same {
		maps.DeleteFunc(g.shown, func(k labelled, _ gauge) bool { _, ok := at[k]; return !ok })
		g.order = slices.SortedFunc(maps.Keys(g.shown), func(a, b labelled) int {
			return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second))
		})
	}
	all := make([]prometheus.Metric, len(g.order))
	for i, k := range g.order {
		all[i] = g.shown[k].metric
	}
	return all
}

func (g *gauges) metric(k labelled, value int64) prometheus.Metric {
	if g.one {
		return prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(value), k.first)
	}
	return prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(value), k.first, k.second)
}

// collect sends the series of these times to ch.
func (g *gauges) collect(ch chan<- prometheus.Metric, at map[labelled]time.Time) {
	for _, m := range g.of(at) {
		ch <- m
	}
}
