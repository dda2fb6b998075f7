//go:build linux

package integration

import (
	"context"
	"crypto/tls"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/containerd/v2/version"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/resolver"
)

// BenchmarkResolveNginx asks for the digest of a tag again and again, each time
// with a new resolver as a pull has it, through nginx and docker-registry:
//
//   - stock: containerd's resolver, which makes a connection each time: that of
//     the containerd that go.mod names, the oldest that is supported,
//   - certsd: ours,
//   - kept: containerd's resolver over one client that keeps its connection;
//     what it takes beyond bare is containerd's, what certsd takes beyond is ours,
//   - least: kept, and a stat of what a lookup has to look at; nobody who asks
//     through containerd's resolver and sees a change of a file can do with less,
//   - bare: nothing but a HEAD with the same headers over a kept connection.
func BenchmarkResolveNginx(b *testing.B) { onBenchMachine(b, benchResolve, benchNeeds{time: "1500x"}) }

func benchResolve(b *testing.B, r *rig) {
	benchtest.Quiet(b)
	img, err := random.Image(1024, 1)
	if err != nil {
		b.Fatal(err)
	}
	tag, err := name.NewTag(registryAddr+"/app:1", name.Insecure)
	if err != nil {
		b.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		b.Fatal(err)
	}
	hosts := &resolver.Hosts{Roots: certsd.Roots{certsDir}}
	defer hosts.CloseIdleConnections()
	kept, bare := r.benchClient(), r.benchClient()
	defer kept.CloseIdleConnections()
	defer bare.CloseIdleConnections()

	resolve := func(r remotes.Resolver) {
		if _, _, err := r.Resolve(b.Context(), benchHost+"/app:1"); err != nil {
			b.Fatal(err)
		}
	}
	var stock stockClients
	runs := benchtest.Turns(b,
		benchtest.Contender{Name: "stock", Run: func() { resolve(stock.resolver(b.Context())) }, After: stock.close},
		benchtest.Contender{Name: "certsd", Run: func() { resolve(resolver.New(resolver.Options{Hosts: hosts})) }},
		benchtest.Contender{Name: "kept", Run: func() { resolve(keptResolver(kept)) }},
		benchtest.Contender{Name: "least", Run: func() { look(b); resolve(keptResolver(kept)) }},
		benchtest.Contender{Name: "bare", Run: func() { head(b, bare, "https://"+benchHost+"/v2/app/manifests/1") }},
	)
	b.ReportMetric(runs.Ratio("stock", "certsd"), "stock/certsd")
	b.ReportMetric(runs.Ratio("certsd", "bare"), "certsd/bare")
	b.ReportMetric(runs.Ratio("certsd", "kept"), "certsd/kept")
	b.ReportMetric(runs.Ratio("kept", "bare"), "kept/bare")
	b.ReportMetric(runs.Ratio("certsd", "least"), "certsd/least")
	b.ReportMetric(runs.Ratio("least", "bare"), "least/bare")
	b.ReportMetric(runs.Ratio("certsd/cpu", "kept/cpu"), "certsd/kept-cpu")
}

// stockClients are the HTTP clients that containerd's resolvers made.
type stockClients []*http.Client

// resolver is containerd's, as CRI and the transfer service make it for a pull.
func (s *stockClients) resolver(ctx context.Context) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: config.ConfigureHosts(ctx, config.HostOptions{
			HostDir:      config.HostDirFromRoot(certsDir),
			UpdateClient: func(c *http.Client) error { *s = append(*s, c); return nil },
		}),
	})
}

// close closes the connections, which containerd leaves open for a while: the
// server has a limited number, and would close others for them.
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

// look asks for the stamps of the root, the host directory and its files.
func look(b *testing.B) {
	dir := filepath.Join(certsDir, benchHost)
	var st syscall.Stat_t
	for _, path := range []string{certsDir, dir, dir + "/ca.crt", dir + "/client.cert", dir + "/client.key"} {
		if err := syscall.Stat(path, &st); err != nil {
			b.Fatalf("%s: %v", path, err)
		}
	}
}

// benchClient makes connections with the pair of the host directory.
func (r *rig) benchClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs:      r.ca("servers").Pool(),
		Certificates: []tls.Certificate{r.benchPair().TLS},
	}}}
}

// head asks as containerd does.
func head(b *testing.B, c *http.Client, url string) {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodHead, url, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, "+
		"application/vnd.docker.distribution.manifest.list.v2+json, "+
		"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*")
	req.Header.Set("User-Agent", "containerd/"+version.Version)
	resp, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close() // there is none
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
}
