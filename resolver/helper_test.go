package resolver_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/registrytest"
	"github.com/certsd/containerd-certsd/resolver"
)

// call is one request as the registry saw it.
type call struct {
	Method, Path, Client string
	Query                url.Values
	Header               http.Header
}

// mtlsRegistry is a registry that asks for client certificates, lets a test
// decide about each request, and remembers all of them.
type mtlsRegistry struct {
	Host    string
	Servers *certtest.CA
	Clients *certtest.CA
	// Images is the registry behind the guard.
	Images http.Handler

	mu         sync.Mutex
	calls      []call
	handshakes int
	guard      func(w http.ResponseWriter, r *http.Request, client string) (done bool)
}

// newRegistry starts a registry on the given handler, nil for an empty one of
// go-containerregistry.
func newRegistry(tb testing.TB, images http.Handler) *mtlsRegistry {
	tb.Helper()
	if images == nil {
		images = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	}
	r := &mtlsRegistry{Servers: certtest.NewCA("servers"), Clients: certtest.NewCA("clients"), Images: images}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{r.Servers.Server("127.0.0.1", "localhost").TLS},
		ClientAuth:   tls.RequestClientCert,
		MinVersion:   tls.VersionTLS12,
		VerifyConnection: func(tls.ConnectionState) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.handshakes++
			return nil
		},
	}
	server.StartTLS()
	tb.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	r.Host = u.Host
	return r
}

// ServeHTTP implements http.Handler.
func (r *mtlsRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	client := ""
	if req.TLS != nil && len(req.TLS.PeerCertificates) > 0 {
		client = req.TLS.PeerCertificates[0].Subject.CommonName
	}
	r.mu.Lock()
	r.calls = append(r.calls, call{req.Method, req.URL.Path, client, req.URL.Query(), req.Header.Clone()})
	guard := r.guard
	r.mu.Unlock()
	if guard != nil && guard(w, req, client) {
		return
	}
	r.Images.ServeHTTP(w, req)
}

// Guard sets what is asked about each request before the registry sees it.
func (r *mtlsRegistry) Guard(g func(w http.ResponseWriter, r *http.Request, client string) (done bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guard = g
}

// Only refuses every client but the named with a status.
func (r *mtlsRegistry) Only(allowed string, status int) {
	r.Guard(func(w http.ResponseWriter, _ *http.Request, client string) bool {
		if client == allowed {
			return false
		}
		w.WriteHeader(status)
		return true
	})
}

// Calls returns what was asked since the last call of Calls.
func (r *mtlsRegistry) Calls() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// Handshakes returns the number of TLS handshakes since its last call.
func (r *mtlsRegistry) Handshakes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.handshakes
	r.handshakes = 0
	return n
}

// Push puts an image into the registry, past the guard.
func (r *mtlsRegistry) Push(tb testing.TB, repository string, layers int) v1.Image {
	tb.Helper()
	img, err := random.Image(1024, int64(layers))
	if err != nil {
		tb.Fatal(err)
	}
	r.PushImage(tb, repository, img)
	return img
}

// PushImage puts this image into the registry, past the guard.
func (r *mtlsRegistry) PushImage(tb testing.TB, repository string, img v1.Image) {
	tb.Helper()
	if err := remote.Write(registrytest.Tag(tb, r.Images, repository), img); err != nil {
		tb.Fatal(err)
	}
}

// Dir makes a host directory with the registry's CA and a pair per name.
func (r *mtlsRegistry) Dir(tb testing.TB, root string, names ...string) string {
	tb.Helper()
	dir := filepath.Join(root, r.Host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := r.Servers.Write(dir, "ca"); err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if err := r.Clients.Client(name).Write(dir, name); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// newHosts are hosts below one root, closed with the test.
func newHosts(tb testing.TB, root string) *resolver.Hosts {
	tb.Helper()
	h := &resolver.Hosts{Roots: certsd.Roots{root}}
	tb.Cleanup(h.CloseIdleConnections)
	return h
}

// deadAddress is an address nobody listens at.
func deadAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
	return address
}

// readAll fetches and reads content.
func readAll(tb testing.TB, f remotes.Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	tb.Helper()
	rc, err := f.Fetch(tb.Context(), desc)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(rc)
}
