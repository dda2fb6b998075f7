package statuspage_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
)

// BenchmarkThousand is of 1,000 registries with 8 pairs each, all asked, as a browser
// and a program read it.
func BenchmarkThousand(b *testing.B) {
	const registries, pairs = 1000, 8
	root := b.TempDir()
	names, err := certtest.WriteMany(root, registries, pairs)
	if err != nil {
		b.Fatal(err)
	}
	state := status.New()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: state.Load}}
	server := certtest.NewCA("servers").Server("registry.test").Cert
	for i, name := range names {
		host, err := hosts.Lookup(name)
		if err != nil {
			b.Fatal(err)
		}
		state.Use(host)
		state.Handshake(certsd.Handshake{Host: name, Server: server})
		var attempts []certsd.Attempt
		for j, id := range host.Endpoints[0].Identities[:i%pairs+1] {
			a := certsd.Attempt{Registry: name, Host: name, Dir: filepath.Join(root, name), Identity: id.Name, Leaf: id.Leaf(), Status: 403}
			if j == i%pairs {
				a.Status = 200
			}
			attempts = append(attempts, a)
		}
		state.Round(certsd.Round{Registry: name, Host: name, Repository: "app", From: hosts, Attempts: attempts},
			func(a certsd.Attempt) string { return strconv.Itoa(a.Status) })
	}
	h := &statuspage.Handler{Snapshot: func() *status.Status { return state.Snapshot(status.Daemon{Kind: status.Gateway, Roots: hosts.Roots}) }}
	get := func(path string) func() {
		return func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://127.0.0.1"+path, nil))
			if w.Code != http.StatusOK {
				b.Fatal(w.Code)
			}
		}
	}
	runs := benchtest.Turns(b,
		benchtest.Contender{Name: "page", Run: get("/status")},
		benchtest.Contender{Name: "json", Run: get("/status.json")},
		benchtest.Contender{Name: "search", Run: get("/status?q=registry0777")},
	)
	for _, name := range []string{"page", "json", "search"} {
		b.ReportMetric(runs.Median(name+"/cpu")/1e6, name+"-cpu-ms")
	}
}
