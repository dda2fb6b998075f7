package resolver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/resolver"
)

// stockResolver is containerd's, made afresh as CRI does for each pull.
func stockResolver(ctx context.Context, root string) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{HostDir: config.HostDirFromRoot(root)}),
	})
}

// BenchmarkResolve takes turns between stock containerd's resolver, ours and a
// bare HEAD over one kept connection, all against one registry behind mTLS.
func BenchmarkResolve(b *testing.B) {
	r := newRegistry(b, nil)
	r.Only("client", http.StatusForbidden)
	r.Push(b, "app:1", 1)
	root := b.TempDir()
	r.Dir(b, root, "client")
	hosts := newHosts(b, root)
	ref := r.Host + "/app:1"
	bare := bareClient(r)
	defer bare.CloseIdleConnections()

	resolve := func(r remotes.Resolver) {
		if _, _, err := r.Resolve(b.Context(), ref); err != nil {
			b.Fatal(err)
		}
	}
	runs := turns(b, map[string]func(){
		"stock":    func() { resolve(stockResolver(b.Context(), root)) },
		"certsd":   func() { resolve(resolver.New(resolver.Options{Hosts: hosts})) },
		"bareHEAD": func() { head(b, bare, "https://"+r.Host+"/v2/app/manifests/1") },
	})
	b.ReportMetric(runs["stock"]/runs["certsd"], "stock/certsd")
	b.ReportMetric(runs["certsd"]/runs["bareHEAD"], "certsd/bare")
}

// turns runs each function once per iteration, in turn, and returns the time
// each took in all. The first round, which connects, is not counted.
func turns(b *testing.B, functions map[string]func()) map[string]float64 {
	for _, f := range functions {
		f()
	}
	total := map[string]float64{}
	for b.Loop() {
		for name, f := range functions {
			start := time.Now()
			f()
			total[name] += float64(time.Since(start))
		}
	}
	for name, t := range total {
		b.ReportMetric(t/float64(b.N), name+"-ns")
	}
	return total
}

func bareClient(r *mtlsRegistry) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      r.Servers.Pool(),
		Certificates: []tls.Certificate{r.Clients.Client("client").TLS},
	}}}
}

func head(tb testing.TB, c *http.Client, url string) {
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodHead, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		tb.Fatal(resp.Status)
	}
}

// BenchmarkHandshakes counts the TLS handshakes of pulls of one manifest, one
// config and five layers, three at a time as containerd does by default.
func BenchmarkHandshakes(b *testing.B) {
	r := newRegistry(b, nil)
	r.Only("client", http.StatusForbidden)
	r.Push(b, "app:1", 5)
	root := b.TempDir()
	r.Dir(b, root, "client")
	ref := r.Host + "/app:1"

	var stock, first, next, pulls float64
	for b.Loop() {
		hosts := newHosts(b, root)
		r.Handshakes()
		pull(b, stockResolver(b.Context(), root), ref)
		stock += float64(r.Handshakes())
		pull(b, resolver.New(resolver.Options{Hosts: hosts}), ref)
		first += float64(r.Handshakes())
		pull(b, resolver.New(resolver.Options{Hosts: hosts}), ref)
		next += float64(r.Handshakes())
		hosts.CloseIdleConnections()
		pulls++
	}
	b.ReportMetric(stock/pulls, "stock-handshakes/pull")
	b.ReportMetric(first/pulls, "first-handshakes/pull")
	b.ReportMetric(next/pulls, "next-handshakes/pull")
}

// pull fetches an image into a fresh store with containerd's own handlers.
func pull(tb testing.TB, r remotes.Resolver, ref string) ocispec.Descriptor {
	tb.Helper()
	store, err := local.NewStore(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	name, desc, err := r.Resolve(tb.Context(), ref)
	if err != nil {
		tb.Fatal(err)
	}
	fetcher, err := r.Fetcher(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	handler := images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store))
	if err := images.Dispatch(tb.Context(), handler, semaphore.NewWeighted(3), desc); err != nil {
		tb.Fatal(err)
	}
	return desc
}

// BenchmarkEightIdentities counts the requests that reach the server when the
// last of eight certificates is the right one.
func BenchmarkEightIdentities(b *testing.B) {
	r := newRegistry(b, nil)
	r.Only("h", http.StatusForbidden)
	r.Push(b, "app:1", 1)
	root := b.TempDir()
	r.Dir(b, root, strings.Split("abcdefgh", "")...)

	var first, further, rounds float64
	for b.Loop() {
		hosts := newHosts(b, root)
		for i := range 5 {
			r.Calls()
			if _, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(b.Context(), r.Host+"/app:1"); err != nil {
				b.Fatal(err)
			}
			if n := float64(len(r.Calls())); i == 0 {
				first += n
			} else {
				further += n / 4
			}
		}
		hosts.CloseIdleConnections()
		rounds++
	}
	b.ReportMetric(first/rounds, "first-requests")
	b.ReportMetric(further/rounds, "further-requests")
	b.ReportMetric(8, "docker-loop-requests")
}
