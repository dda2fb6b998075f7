package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clog "github.com/containerd/log"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what would be logged

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/registrytest"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// upstream is a registry that answers 403 to all but one client certificate,
// the second in its directory.
type upstream struct {
	host             string
	servers, clients *certtest.CA
	images           http.Handler
	// everybody lets in every certificate.
	everybody bool
	// alone makes a directory with the right certificate only: with others, each
	// 5xx is one request for each.
	alone bool
	// wholeOnly reports whether images knows no ranges without an end.
	wholeOnly bool

	// mu guards what follows.
	mu       sync.Mutex
	requests []*http.Request
	answer   func(w http.ResponseWriter, r *http.Request) (done bool)
}

// newUpstream starts a registry; nil is one of go-containerregistry.
func newUpstream(tb testing.TB, images http.Handler) *upstream {
	tb.Helper()
	u := &upstream{servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"), images: images}
	if images == nil {
		u.images = registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
		u.wholeOnly = true
	}
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
	if !u.everybody && (len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "bravo") {
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
	if !u.wholeOnly || r.Header.Get("Range") == "" {
		u.images.ServeHTTP(w, r)
		return
	}
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
		if u.alone && name == "alpha" {
			continue
		}
		must(tb, u.clients.Client(name).Write(dir, name))
	}
}

// push puts an image into the registry, past its guard.
func (u *upstream) push(tb testing.TB, repository string, layers int) v1.Image {
	tb.Helper()
	img, err := random.Image(64<<10, int64(layers))
	must(tb, err)
	must(tb, remote.Write(registrytest.Tag(tb, u.images, repository), img))
	return img
}

// archive is a registry that speaks only v1, behind TLS.
type archive struct {
	*v1test.Server
	servers *certtest.CA

	// mu guards what follows.
	mu sync.Mutex
	// sent counts the writes of layers, of which each is told.
	sent   int64
	onSent func(n int64)
}

// during sets what is told of each part of a layer that is sent, and counts
// from zero.
func (a *archive) during(f func(n int64)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent, a.onSent = 0, f
}

// partWriter sends an answer in parts.
type partWriter struct {
	http.ResponseWriter
	archive *archive
}

// Write implements io.Writer.
func (w *partWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		part := p[:min(len(p), 64<<10)]
		p = p[len(part):]
		var n int
		n, err = w.ResponseWriter.Write(part)
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		written += n
		w.archive.mu.Lock()
		w.archive.sent++
		sent, told := w.archive.sent, w.archive.onSent
		w.archive.mu.Unlock()
		if told != nil {
			told(sent)
		}
	}
	return written, err
}

func newArchive(tb testing.TB) *archive {
	tb.Helper()
	a := &archive{servers: certtest.NewCA("servers")}
	a.Server = v1test.New(v1test.Options{
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.servers.Server("127.0.0.1").TLS}},
		Wrap: func(v1 http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/v2/") {
					http.NotFound(w, r)
					return
				}
				if strings.HasSuffix(r.URL.Path, "/layer") {
					w = &partWriter{w, a}
				}
				v1.ServeHTTP(w, r)
			})
		},
	})
	tb.Cleanup(a.Close)
	return a
}

// add puts an image of three layers, one of them empty, into the archive.
func (a *archive) add(repository, tag string) {
	a.Add(repository, tag,
		v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"etc/name": repository + ":" + tag}))},
		v1test.Layer{Data: v1test.Gzip(make([]byte, 1024))},
		v1test.Layer{Data: v1test.Tar(map[string]string{"bin/" + tag: strings.Repeat(repository, 1000)})},
	)
}

func (a *archive) dir(tb testing.TB, root string) {
	tb.Helper()
	dir := filepath.Join(root, a.Host)
	must(tb, os.MkdirAll(dir, 0o755))
	must(tb, a.servers.Write(dir, "ca"))
}

// layers counts the layers that were asked for.
func (a *archive) layers() int {
	n := 0
	for _, uri := range a.URIs() {
		if strings.HasSuffix(uri, "/layer") {
			n++
		}
	}
	return n
}

// testGateway is a gateway with a secret in front of registries.
type testGateway struct {
	*httptest.Server
	secret  string
	handler *server
	store   *imageStore
}

// newGateway starts a gateway for registries, with options changed by change.
func newGateway(tb testing.TB, change func(*options), registries ...interface{ dir(testing.TB, string) }) *testGateway {
	tb.Helper()
	root, state := tb.TempDir(), tb.TempDir()
	for _, r := range registries {
		r.dir(tb, root)
	}
	secret, err := ownSecret(state)
	must(tb, err)
	store, err := openStore(state, 0)
	must(tb, err)
	tb.Cleanup(func() { _ = store.Close() })
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}}
	tb.Cleanup(hosts.CloseIdleConnections)
	o := options{Hosts: hosts, Secret: secret, Store: store, SpoolDir: state, SpoolSize: 1 << 30}
	if change != nil {
		change(&o)
	}
	handler, err := newServer(quiet(tb), o)
	must(tb, err)
	tb.Cleanup(handler.Close)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnContext = withConn
	server.Config.BaseContext = func(net.Listener) context.Context { return quiet(tb) }
	server.Start()
	tb.Cleanup(server.Close)
	value, err := secret.Value()
	must(tb, err)
	return &testGateway{server, value, handler, store}
}

// quiet is a context whose logger writes nothing.
func quiet(tb testing.TB) context.Context {
	tb.Helper()
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return clog.WithLogger(context.WithoutCancel(tb.Context()), logrus.NewEntry(logger))
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

// zeroTime leaves modification times out of http.ServeContent.
var zeroTime time.Time

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
