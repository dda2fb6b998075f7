package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// BenchmarkMetrics reads the metrics of 1,000 hosts with 8 pairs each: those that were
// looked up, and those that have answered to each pair, too; and as Prometheus asks
// for them, packed.
func BenchmarkMetrics(b *testing.B) {
	_, logger := newJournal()
	h := Hooks(logger)
	roots, names := manyHosts(b, 1000, 8)
	hosts := &certsd.Hosts{Roots: roots, Hooks: hostdir.Hooks{OnLoad: h.OnLoad}}
	for _, name := range names {
		if _, err := hosts.Lookup(name); err != nil {
			b.Fatal(err)
		}
	}
	read := func(coding string) func() {
		return func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept-Encoding", coding)
			if Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		}
	}
	report := func(b *testing.B, contenders ...benchtest.Contender) {
		runs := benchtest.Turns(b, contenders...)
		for _, c := range contenders {
			b.ReportMetric(runs.Median(c.Name+"/cpu")/1e6, c.Name+"-cpu-ms")
		}
	}
	b.Run("looked-up", func(b *testing.B) {
		report(b, benchtest.Contender{Name: "plain", Run: read("identity")}, benchtest.Contender{Name: "packed", Run: read("gzip")})
	})
	for i, name := range names {
		for j := range 8 {
			status := 403
			if j == i%8 {
				status = 200
			}
			h.Transport.OnAttempt(certsd.Attempt{Registry: name, Host: name, Identity: fmt.Sprintf("client%d.cert", j), Status: status})
		}
	}
	b.Run("answered", func(b *testing.B) { report(b, benchtest.Contender{Name: "plain", Run: read("identity")}) })
}
