package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
)

// upstream is a registry that answers 403 to all but one client certificate,
// the second in its directory.
type upstream struct {
	host             string
	servers, clients *certtest.CA
	images           http.Handler

	// mu guards what follows.
	mu       sync.Mutex
	requests []*http.Request
	answer   func(w http.ResponseWriter, r *http.Request) (done bool)
}

// newUpstream starts a registry; nil is one of go-containerregistry.
func newUpstream(tb testing.TB, images http.Handler) *upstream {
	tb.Helper()
	if images == nil {
		images = registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	}
	u := &upstream{servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"), images: images}
	server := httptest.NewUnstartedServer(u)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{u.servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequestClientCert,
		MinVersion:   tls.VersionTLS12,
	}
	server.StartTLS()
	tb.Cleanup(server.Close)
	u.host = strings.TrimPrefix(server.URL, "https://")
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "bravo" {
		http.Error(w, "not for you", http.StatusForbidden)
		return
	}
	u.mu.Lock()
	u.requests = append(u.requests, r.Clone(r.Context()))
	answer := u.answer
	u.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if r.Header.Get("Range") == "" {
		u.images.ServeHTTP(w, r)
		return
	}
	// go-containerregistry knows no ranges without an end.
	whole := httptest.NewRecorder()
	req := r.Clone(r.Context())
	req.Header.Del("Range")
	u.images.ServeHTTP(whole, req)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(whole.Body.Bytes()))
}

// answers sets what is asked before the registry.
func (u *upstream) answers(f func(w http.ResponseWriter, r *http.Request) (done bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = f
}

// seen returns the requests that passed since it was last called.
func (u *upstream) seen() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	requests := u.requests
	u.requests = nil
	return requests
}

// dir makes the registry's directory below root.
func (u *upstream) dir(tb testing.TB, root string) {
	tb.Helper()
	dir := filepath.Join(root, u.host)
	must(tb, os.MkdirAll(dir, 0o755))
	must(tb, u.servers.Write(dir, "ca"))
	for _, name := range []string{"alpha", "bravo"} {
		must(tb, u.clients.Client(name).Write(dir, name))
	}
}

// push puts an image into the registry, past its guard.
func (u *upstream) push(tb testing.TB, repository string, layers int) v1.Image {
	tb.Helper()
	img, err := random.Image(64<<10, int64(layers))
	must(tb, err)
	plain := httptest.NewServer(u.images)
	defer plain.Close()
	tag, err := name.NewTag(strings.TrimPrefix(plain.URL, "http://")+"/"+repository, name.Insecure)
	must(tb, err)
	must(tb, remote.Write(tag, img))
	return img
}

// testGateway is a gateway with a secret in front of upstreams.
type testGateway struct {
	*httptest.Server
	secret string
}

// newGateway starts a gateway for upstreams, with options changed by change.
func newGateway(tb testing.TB, change func(*Options), upstreams ...*upstream) *testGateway {
	tb.Helper()
	root, state := tb.TempDir(), tb.TempDir()
	for _, u := range upstreams {
		u.dir(tb, root)
	}
	secret, err := OpenSecret(state)
	must(tb, err)
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}}
	tb.Cleanup(hosts.CloseIdleConnections)
	o := Options{Hosts: hosts, Secret: secret}
	if change != nil {
		change(&o)
	}
	handler, err := New(o)
	must(tb, err)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	tb.Cleanup(server.Close)
	value, err := secret.Value()
	must(tb, err)
	return &testGateway{server, value}
}

// answer is a response read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// do makes a request with the secret. header are pairs of name and value.
func (g *testGateway) do(tb testing.TB, method, path string, header ...string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, g.URL+path, nil)
	must(tb, err)
	req.Header.Set(tokenHeader, g.secret)
	for i := 0; i < len(header); i += 2 {
		req.Header.Del(header[i])
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := g.Client().Transport.RoundTrip(req)
	must(tb, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body, err}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
