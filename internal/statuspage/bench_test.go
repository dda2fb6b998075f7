package statuspage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

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
	clients, servers := certtest.NewCA("clients"), certtest.NewCA("servers")
	state := status.New()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: state.Load}}
	var ids []*certtest.Pair
	for i := range pairs {
		ids = append(ids, clients.Issue(certtest.Request{CommonName: fmt.Sprintf("client %d", i), NotAfter: time.Now().AddDate(1, 0, i)}))
	}
	server := servers.Server("registry.test").Cert
	for i := range registries {
		name := fmt.Sprintf("registry%04d.test", i)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		for j, id := range ids {
			if err := id.Write(dir, fmt.Sprintf("client%d", j)); err != nil {
				b.Fatal(err)
			}
		}
		host, err := hosts.Lookup(name)
		if err != nil {
			b.Fatal(err)
		}
		state.Use(host)
		state.Handshake(certsd.Handshake{Host: name, Server: server})
		var attempts []certsd.Attempt
		for j, id := range host.Endpoints[0].Identities[:i%pairs+1] {
			a := certsd.Attempt{Registry: name, Host: name, Dir: dir, Identity: id.Name, Leaf: id.Leaf(), Status: 403}
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
