package telemetry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// BenchmarkMetrics reads the metrics of 1,000 hosts with 8 pairs each.
func BenchmarkMetrics(b *testing.B) {
	_, logger := newJournal()
	root := b.TempDir()
	h := Hooks(logger)
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, OnLoad: h.OnLoad}
	var pairs []*certtest.Pair
	for i := range 8 {
		pairs = append(pairs, clients.Client(fmt.Sprintf("client %d", i)))
	}
	for i := range 1000 {
		name := fmt.Sprintf("bench%04d.test", i)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		for j, p := range pairs {
			if err := p.Write(dir, fmt.Sprintf("client%d", j)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := hosts.Lookup(name); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
