package resolver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/resolver"
)

// stockClients are the HTTP clients that containerd's resolvers made.
type stockClients []*http.Client

// resolver is containerd's, made afresh as CRI does for each pull.
func (s *stockClients) resolver(ctx context.Context, root string) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{
			HostDir:      config.HostDirFromRoot(root),
			UpdateClient: func(c *http.Client) error { *s = append(*s, c); return nil },
		}),
	})
}

// close closes the connections, which containerd leaves open for a while.
func (s *stockClients) close() {
	for _, c := range *s {
		c.CloseIdleConnections()
	}
	*s = nil
}

// keptResolver is containerd's over a client that is made beforehand.
func keptResolver(client *http.Client) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(
			docker.WithClient(client),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(client))),
		),
	})
}

// BenchmarkResolve takes turns between stock containerd's resolver, ours, stock
// containerd's over a client that keeps its connection, and a bare HEAD over
// one kept connection, all against one registry behind mTLS in this process.
// What certsd takes beyond kept is ours, what kept takes beyond bare is
// containerd's.
func BenchmarkResolve(b *testing.B) {
	benchtest.Quiet(b)
	r := newRegistry(b, nil)
	r.Only("client", http.StatusForbidden)
	r.Push(b, "app:1", 1)
	root := b.TempDir()
	r.Dir(b, root, "client")
	hosts := newHosts(b, root)
	kept, bare := bareClient(r), bareClient(r)
	defer kept.CloseIdleConnections()
	defer bare.CloseIdleConnections()

	resolve := func(o remotes.Resolver) {
		r.Calls()
		if _, _, err := o.Resolve(b.Context(), r.Host+"/app:1"); err != nil {
			b.Fatal(err)
		}
	}
	var stock stockClients
	runs := benchtest.Turns(b,
		benchtest.Contender{Name: "stock", Run: func() { resolve(stock.resolver(b.Context(), root)) }, After: stock.close},
		benchtest.Contender{Name: "certsd", Run: func() { resolve(resolver.New(resolver.Options{Hosts: hosts})) }},
		benchtest.Contender{Name: "kept", Run: func() { resolve(keptResolver(kept)) }},
		benchtest.Contender{Name: "bare", Run: func() { head(b, bare, "https://"+r.Host+"/v2/app/manifests/1") }},
	)
	b.ReportMetric(runs.Ratio("stock", "certsd"), "stock/certsd")
	b.ReportMetric(runs.Ratio("certsd", "bare"), "certsd/bare")
	b.ReportMetric(runs.Ratio("certsd", "kept"), "certsd/kept")
	b.ReportMetric(runs.Ratio("certsd/cpu", "kept/cpu"), "certsd/kept-cpu")
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
// config and five layers of one to four MiB, three at a time as containerd does
// by default: the mean for stock, and for our first and next pull. The first
// makes three at most. Where it was so hindered that it never had three requests
// in work, which a busy machine does, the third is left to the next.
func BenchmarkHandshakes(b *testing.B) {
	benchtest.Quiet(b)
	r := newRegistry(b, nil)
	r.Only("client", http.StatusForbidden)
	pushLayers(b, r, "app:1", 1, 2, 3, 4, 1)
	root := b.TempDir()
	r.Dir(b, root, "client")
	ref := r.Host + "/app:1"

	var clients stockClients
	var stock, first, next, most, pulls float64
	for b.Loop() {
		hosts := newHosts(b, root)
		r.Handshakes()
		pull(b, clients.resolver(b.Context(), root), ref)
		stock += float64(r.Handshakes())
		clients.close()
		pull(b, resolver.New(resolver.Options{Hosts: hosts}), ref)
		n := float64(r.Handshakes())
		first, most = first+n, max(most, n)
		pull(b, resolver.New(resolver.Options{Hosts: hosts}), ref)
		next += float64(r.Handshakes())
		hosts.CloseIdleConnections()
		pulls++
	}
	b.ReportMetric(stock/pulls, "stock-handshakes")
	b.ReportMetric(first/pulls, "certsd-first-handshakes")
	b.ReportMetric(most, "certsd-first-most")
	b.ReportMetric(next/pulls, "certsd-next-handshakes")
	b.ReportMetric(0, "ns/op")
}

// pushLayers puts an image with layers of these sizes, in MiB, into the
// registry, past the guard.
func pushLayers(b *testing.B, r *mtlsRegistry, repository string, sizes ...int64) {
	img := empty.Image
	for _, size := range sizes {
		layer, err := random.Layer(size<<20, types.OCILayer)
		if err != nil {
			b.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			b.Fatal(err)
		}
	}
	r.PushImage(b, repository, img)
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
