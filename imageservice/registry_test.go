package imageservice

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/registrytest"
	"github.com/certsd/containerd-certsd/resolver"
)

// node is a machine with containerd, a registry that wants the second of two client
// certificates, and the directory for it.
type node struct {
	*testDaemon
	registry *mtlsRegistry
	root     string
	options  options

	mu sync.Mutex // guards the rest
	// pulls are those that have ended.
	pulls []finishedPull
}

// newNode returns one with a containerd that fetches no image itself.
func newNode(t *testing.T) *node {
	t.Helper()
	return newNodeWith(t, nil)
}

// newNodeOver returns one whose images come over one of the ways into containerd.
func newNodeOver(t *testing.T, over string) *node {
	t.Helper()
	if over == overSocket {
		return newNode(t)
	}
	return newNodeWith(t, &transferring{})
}

// pulledOver returns one that has pulled an image over one of the ways, with a client of our
// server, the image's reference and its ID.
func pulledOver(t *testing.T, over string) (n *node, client runtime.ImageServiceClient, ref, id string) {
	t.Helper()
	n = newNodeOver(t, over)
	n.registry.push(t, "team/app:1")
	_, client = n.serve(t)
	id, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	return n, client, n.registry.host + "/team/app:1", id
}

// newNodeWith returns one with containerd 2, and with 1 if there is no configuration.
func newNodeWith(t *testing.T, config *transferring) *node {
	t.Helper()
	r := newRegistry(t)
	root := t.TempDir()
	dir := filepath.Join(root, r.host)
	must(t, os.MkdirAll(dir, 0o755))
	must(t, r.servers.Write(dir, "ca"))
	for _, name := range []string{"first", "second"} {
		must(t, r.clients.Client(name).Write(dir, name))
	}
	n := &node{testDaemon: newDaemon(t, config), registry: r, root: root}
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}}
	t.Cleanup(hosts.CloseIdleConnections)
	n.options = options{Containerd: n.address, Hosts: hosts, Instance: "test"}
	if config != nil {
		n.options.HostsDir = filepath.Join(n.dir, "hosts")
		n.options.Settings.DaemonConfig = config.write(t)
	}
	return n
}

// overBoth runs a test over both ways into containerd.
func overBoth(t *testing.T, name string, test func(t *testing.T, over string)) {
	t.Helper()
	for _, over := range []string{overSocket, overLoopback} {
		t.Run(strings.TrimPrefix(name+"/"+over, "/"), func(t *testing.T) {
			t.Parallel()
			test(t, over)
		})
	}
}

// serve starts our server, and returns it with a client of it.
func (n *node) serve(t *testing.T) (*server, runtime.ImageServiceClient) {
	t.Helper()
	o := n.options
	o.Hooks.OnPull = func(ctx context.Context, p finishedPull) {
		n.mu.Lock()
		n.pulls = append(n.pulls, p)
		n.mu.Unlock()
		if n.options.Hooks.OnPull != nil {
			n.options.Hooks.OnPull(ctx, p)
		}
	}
	s, err := newServer(o)
	must(t, err)
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenUnix(t, path)
	must(t, err)
	go s.Serve(l) //nolint:errcheck // it is stopped
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s, dialImages(t, path)
}

func dialImages(t *testing.T, path string) runtime.ImageServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return runtime.NewImageServiceClient(conn)
}

// pull pulls an image of the registry.
func (n *node) pull(ctx context.Context, client runtime.ImageServiceClient, image string, auth *runtime.AuthConfig) (string, error) {
	answer, err := client.PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: n.registry.host + "/" + image}, Auth: auth})
	return answer.GetImageRef(), err
}

// finished are the pulls that have ended since the last call.
func (n *node) finished() []finishedPull {
	n.mu.Lock()
	defer n.mu.Unlock()
	pulls := n.pulls
	n.pulls = nil
	return pulls
}

// came checks over which ways the images of the pulls since the last call came.
func (n *node) came(t *testing.T, over ...string) {
	t.Helper()
	var got []string
	for _, p := range n.finished() {
		got = append(got, p.Image.Over)
	}
	if !slices.Equal(got, over) {
		t.Errorf("came over %q, want %q", got, over)
	}
}

// asked is one request that the registry has seen.
type asked struct{ method, path, client, authorization, rangeOf string }

type mtlsRegistry struct {
	host             string
	servers, clients *certtest.CA
	images           http.Handler

	mu    sync.Mutex // guards the rest
	asked []asked
	guard func(w http.ResponseWriter, r *http.Request) (done bool)
}

func newRegistry(t *testing.T) *mtlsRegistry {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	r := &mtlsRegistry{servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"), images: ggcr.New(ggcr.Logger(quiet))}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = quiet
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{r.servers.Server("127.0.0.1").TLS}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "https://")
	return r
}

// ServeHTTP implements http.Handler.
func (r *mtlsRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	client := ""
	if len(req.TLS.PeerCertificates) > 0 {
		client = req.TLS.PeerCertificates[0].Subject.CommonName
	}
	if client != "second" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	r.mu.Lock()
	r.asked = append(r.asked, asked{req.Method, req.URL.Path, client, req.Header.Get("Authorization"), req.Header.Get("Range")})
	guard := r.guard
	r.mu.Unlock()
	if guard != nil && guard(w, req) {
		return
	}
	r.images.ServeHTTP(w, req)
}

// setGuard sets what is asked about each request that has the certificate.
func (r *mtlsRegistry) setGuard(guard func(w http.ResponseWriter, r *http.Request) (done bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guard = guard
}

// blobs are the requests for blobs since the last call.
func (r *mtlsRegistry) blobs() (blobs []asked) {
	for _, a := range r.requests() {
		if strings.Contains(a.path, "/blobs/") {
			blobs = append(blobs, a)
		}
	}
	return blobs
}

func (r *mtlsRegistry) requests() []asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.asked
	r.asked = nil
	return all
}

// push puts an image of two layers into the registry, past its guard.
func (r *mtlsRegistry) push(t *testing.T, ref string) v1.Image {
	t.Helper()
	image, err := random.Image(2048, 2)
	must(t, err)
	r.pushImage(t, ref, image)
	return image
}

func (r *mtlsRegistry) pushImage(t *testing.T, ref string, image v1.Image) {
	t.Helper()
	must(t, remote.Write(registrytest.Tag(t, r.images, ref), image))
}

// idOf is the digest of an image's configuration, which is its ID in CRI.
func idOf(t *testing.T, image v1.Image) string {
	t.Helper()
	id, err := image.ConfigName()
	must(t, err)
	return id.String()
}

// warnings has the server's warnings kept, and returns a function for those since its
// last call.
func (n *node) warnings() func() []string {
	var mu sync.Mutex
	var all []string
	n.options.Hooks.OnWarning = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, err.Error())
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := all
		all = nil
		return got
	}
}
