package plugin

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	ggcrremote "github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/registrytest"
)

// guarded is a registry that wants a certificate, a password and a header.
type guarded struct {
	host             string
	servers, clients *certtest.CA
	images           http.Handler

	mu       sync.Mutex
	problems []string
	served   int
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{
		servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"),
		images: ggcr.New(ggcr.Logger(stdlog.New(io.Discard, "", 0))),
	}
	server := httptest.NewUnstartedServer(g)
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{g.servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequestClientCert,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	g.host = strings.TrimPrefix(server.URL, "https://")
	return g
}

// ServeHTTP implements http.Handler.
func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	switch {
	case len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "bravo":
		w.WriteHeader(http.StatusForbidden)
	case !ok:
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
	case user != "jo" || password != "pw" || r.Header.Get("X-Team") != "green":
		g.mu.Lock()
		g.problems = append(g.problems, fmt.Sprintf("%s %s as %q with %q", r.Method, r.URL, user, r.Header.Get("X-Team")))
		g.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
	default:
		g.mu.Lock()
		g.served++
		g.mu.Unlock()
		g.images.ServeHTTP(w, r)
	}
}

// push puts an image into the registry, past the guard.
func (g *guarded) push(t *testing.T, ref string) {
	t.Helper()
	img, err := random.Image(1<<15, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := ggcrremote.Write(registrytest.Tag(t, g.images, ref), img); err != nil {
		t.Fatal(err)
	}
}

// dir makes the host directory of the registry.
func (g *guarded) dir(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, g.host)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	err := g.servers.Write(dir, "ca")
	for _, name := range []string{"alpha", "bravo"} {
		err = errors.Join(err, g.clients.Client(name).Write(dir, name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) check(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.problems) > 0 || g.served == 0 {
		t.Errorf("%d requests were served, not these: %q", g.served, g.problems)
	}
}

// wish is a registry as CRI and ctr make one.
func wish(t *testing.T, ref, dirs string, opts ...registry.Opt) *registry.OCIRegistry {
	t.Helper()
	opts = append([]registry.Opt{
		registry.WithHostDir(dirs),
		registry.WithHeaders(http.Header{"X-Team": {"green"}}),
		registry.WithCredentials(helper(func(context.Context, string, string) (registry.Credentials, error) {
			return registry.Credentials{Username: "jo", Secret: "pw"}, nil
		})),
	}, opts...)
	r, err := registry.NewOCIRegistry(t.Context(), ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// collector collects progress.
type collector struct {
	mu     sync.Mutex
	events []transfer.Progress
}

func (c *collector) option() transfer.Opt {
	return transfer.WithProgress(func(p transfer.Progress) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.events = append(c.events, p)
	})
}

func (c *collector) has(event string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if strings.HasPrefix(e.Event, event) {
			return true
		}
	}
	return false
}

// TestPullAndPushKeepWhatTheCallerAskedFor goes through containerd's own
// transfer service, with a list of hosts directories as CRI gives it.
func TestPullAndPushKeepWhatTheCallerAskedFor(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.push(t, "app:1")
	first, second := t.TempDir(), t.TempDir()
	g.dir(t, second)
	dirs := first + string(filepath.ListSeparator) + second
	d := newDaemon(t, t.TempDir())
	d.ours.stock = d.spy.Transferrer
	t.Cleanup(func() { d.ours.settings.hostsFor(dirs).CloseIdleConnections() })
	ctx := namespaces.WithNamespace(t.Context(), "test")
	ref := g.host + "/app:1"

	pulled := &collector{}
	if err := d.ours.Transfer(ctx, wish(t, ref, dirs), image.NewStore(ref), pulled.option()); err != nil {
		t.Fatal(err)
	}
	for _, event := range []string{"Resolving from OCI Registry (" + ref + ")", "complete", "Completed pull"} {
		if !pulled.has(event) {
			t.Errorf("the pull reported no %q: %+v", event, pulled.events)
		}
	}
	img, err := metadata.NewImageStore(d.db).Get(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	pushed := &collector{}
	copied := g.host + "/copy:1"
	if err := d.ours.Transfer(ctx, image.NewStore(ref), wish(t, copied, dirs), pushed.option()); err != nil {
		t.Fatal(err)
	}
	if !pushed.has("Pushing to OCI Registry ("+copied+")") || !pushed.has("complete") {
		t.Errorf("the push reported %+v", pushed.events)
	}
	g.check(t)
	again := g.host + "/copy:1"
	if err := d.ours.Transfer(ctx, wish(t, again, dirs), image.NewStore(again)); err != nil {
		t.Fatal(err)
	}
	if c, err := metadata.NewImageStore(d.db).Get(ctx, again); err != nil || c.Target.Digest != img.Target.Digest {
		t.Errorf("what was pushed is %v, not %v: %v", c.Target, img.Target, err)
	}
}

func TestErrorsOfATransferNameTheCertificates(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	root := t.TempDir()
	g.dir(t, root)
	if err := os.Remove(filepath.Join(root, g.host, "bravo.cert")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, g.host, "bravo.key")); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, root)
	ctx := namespaces.WithNamespace(t.Context(), "test")
	err := d.ours.Transfer(ctx, wish(t, g.host+"/app:1", ""), image.NewStore("x"))
	if err == nil || !strings.Contains(err.Error(), "alpha.cert (CN=alpha") || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
}

// TestHostsDirectoriesOfClientsAreMeant: a slip of the client's does not lead to
// the directories of the daemon.
func TestHostsDirectoriesOfClientsAreMeant(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, t.TempDir())
	ctx := namespaces.WithNamespace(t.Context(), "test")
	for list, want := range map[string]string{
		":":       `reg.test/app:1: invalid argument: the client's hosts directory: ":" does not name a directory`,
		"certs.d": `reg.test/app:1: invalid argument: the client's hosts directory: "certs.d" is not an absolute path`,
	} {
		err := d.ours.Transfer(ctx, wish(t, "reg.test/app:1", list), image.NewStore("x"))
		if !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestRefusedSchema1KeepsItsReason: containerd's gRPC service drops errors that
// say "not implemented".
func TestRefusedSchema1KeepsItsReason(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
		_, _ = io.WriteString(w, `{"schemaVersion":1}`)
	}))
	defer server.Close()
	d := newDaemon(t, t.TempDir())
	d.ours.settings.hostsFor("").NoSchema1 = true
	ctx := namespaces.WithNamespace(t.Context(), "test")
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:1"
	err := d.ours.Transfer(ctx, wish(t, ref, "", registry.WithDefaultScheme("http")), image.NewStore(ref))
	if err == nil || errdefs.IsNotImplemented(err) || !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "schema1 = false") {
		t.Errorf("got %v", err)
	}
}

// lockedBuffer is an io.WriteCloser that may be read meanwhile.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
	closed chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) Close() error {
	close(b.closed)
	return nil
}

// TestDebugOutputReachesTheCaller also follows a pull in plain HTTP, which the
// caller wishes for.
func TestDebugOutputReachesTheCaller(t *testing.T) {
	t.Parallel()
	images := ggcr.New(ggcr.Logger(stdlog.New(io.Discard, "", 0)))
	g := &guarded{images: images}
	g.push(t, "app:1")
	server := httptest.NewServer(images)
	defer server.Close()
	d := newDaemon(t, t.TempDir())
	ctx := namespaces.WithNamespace(t.Context(), "test")
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:1"
	out := &lockedBuffer{closed: make(chan struct{})}
	src := wish(t, ref, "", registry.WithDefaultScheme("http"), registry.WithHTTPDebug(), registry.WithClientStream(out))
	if err := d.ours.Transfer(ctx, src, image.NewStore(ref)); err != nil {
		t.Fatal(err)
	}
	<-out.closed
	if text := out.buffer.String(); !strings.Contains(text, "HEAD /v2/app/manifests/1 HTTP/1.1") || !strings.Contains(text, "200 OK") {
		t.Errorf("got %q", text)
	}
}
