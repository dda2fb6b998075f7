package status_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

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
	ca := certtest.NewCA("clients")
	var ids []*certtest.Pair
	for i := range pairs {
		ids = append(ids, ca.Issue(certtest.Request{CommonName: fmt.Sprintf("client %d", i), NotAfter: time.Now().AddDate(1, 0, 0)}))
	}
	state := status.New()
	all := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: state.Load}}
	for i := range hosts {
		name := fmt.Sprintf("registry%04d.test", i)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			tb.Fatal(err)
		}
		for j, id := range ids {
			if err := id.Write(dir, fmt.Sprintf("client%d", j)); err != nil {
				tb.Fatal(err)
			}
		}
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
