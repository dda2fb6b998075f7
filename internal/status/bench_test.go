package status_test

import (
	"encoding/json"
	"io"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
)

// many makes hosts with pairs, all looked up.
func many(tb testing.TB, hosts, pairs int) (*status.State, certsd.Roots) {
	tb.Helper()
	root := tb.TempDir()
	names, err := certtest.WriteMany(root, hosts, pairs)
	if err != nil {
		tb.Fatal(err)
	}
	state := status.New()
	all := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: state.Load}}
	for _, name := range names {
		host, err := all.Lookup(name)
		if err != nil {
			tb.Fatal(err)
		}
		state.Use(host)
	}
	return state, all.Roots
}

// BenchmarkSnapshot is of 1,000 hosts with 8 pairs each, alone and as JSON.
func BenchmarkSnapshot(b *testing.B) {
	state, roots := many(b, 1000, 8)
	snapshot := func() *status.Status { return state.Snapshot(status.Daemon{Kind: status.Gateway, Roots: roots}) }
	runs := benchtest.Turns(b,
		benchtest.Contender{Name: "alone", Run: func() { snapshot() }},
		benchtest.Contender{Name: "json", Run: func() {
			if err := json.NewEncoder(io.Discard).Encode(snapshot()); err != nil {
				b.Fatal(err)
			}
		}},
	)
	for _, name := range []string{"alone", "json"} {
		b.ReportMetric(runs.Median(name+"/cpu")/1e6, name+"-cpu-ms")
	}
}
