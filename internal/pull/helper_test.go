package pull_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	containerdlog "github.com/containerd/log"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/internal/registrytest"
	"github.com/certsd/containerd-certsd/resolver"
)

func TestMain(m *testing.M) {
	// containerd's libraries tell of what the tests provoke.
	if err := containerdlog.SetLevel("fatal"); err != nil {
		panic(err)
	}
	if os.Getenv(childEnv) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}

// call is one request that the registry answered.
type call struct {
	Method, Path, Range string
	Status              int
	// Sent are the bytes of the body.
	Sent int64
}

// testRegistry is a registry behind a client certificate.
type testRegistry struct {
	Host  string
	Hosts *resolver.Hosts
	root  string
	own   http.Handler

	mu    sync.Mutex // guards the rest
	calls []call
	guard func(w http.ResponseWriter, r *http.Request) (done bool)
}

// newRegistry starts a registry, of go-containerregistry unless handler is not
// nil, with hosts that have the certificate it accepts as their second one.
func newRegistry(t *testing.T, handler http.Handler) *testRegistry {
	t.Helper()
	if handler == nil {
		handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	}
	servers, clients := certtest.NewCA("servers"), certtest.NewCA("clients")
	r := &testRegistry{root: t.TempDir(), own: handler}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients.Pool(),
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	check(t, err)
	r.Host = u.Host
	dir := filepath.Join(r.root, r.Host)
	check(t, os.MkdirAll(dir, 0o700))
	check(t, servers.Write(dir, "ca"))
	for _, name := range []string{"alpha", "bravo"} {
		check(t, clients.Client(name).Write(dir, name))
	}
	r.Hosts = r.newHosts(t)
	return r
}

// newHosts are those of another process.
func (r *testRegistry) newHosts(t *testing.T) *resolver.Hosts {
	h := &resolver.Hosts{Roots: certsd.Roots{r.root}}
	t.Cleanup(h.CloseIdleConnections)
	return h
}

// ServeHTTP implements http.Handler.
func (r *testRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.TLS.PeerCertificates[0].Subject.CommonName != "bravo" {
		http.Error(w, "not you", http.StatusForbidden)
		return
	}
	c := &counting{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, call{req.Method, req.URL.Path, req.Header.Get("Range"), c.status, c.sent})
	}()
	r.mu.Lock()
	guard := r.guard
	r.mu.Unlock()
	if guard == nil || !guard(c, req) {
		r.own.ServeHTTP(c, req)
	}
}

// Guard sets what is asked about each request before the registry sees it.
func (r *testRegistry) Guard(g func(w http.ResponseWriter, r *http.Request) (done bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guard = g
}

// Calls are the requests since the last call of Calls.
func (r *testRegistry) Calls() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// sent counts the bytes of blobs among calls.
func sent(calls []call) (n int64) {
	for _, c := range calls {
		if strings.Contains(c.Path, "/blobs/") {
			n += c.Sent
		}
	}
	return n
}

type counting struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (c *counting) WriteHeader(status int) { c.status = status; c.ResponseWriter.WriteHeader(status) }

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// request is a pull of what name leads to in the registry.
func (r *testRegistry) request(t *testing.T, name string) *pull.Request {
	t.Helper()
	ref, err := imageref.Parse(r.Host + "/" + name)
	check(t, err)
	return &pull.Request{Ref: ref, Hosts: r.Hosts}
}

// push puts an image past the guard.
func (r *testRegistry) push(t *testing.T, repository string, img v1.Image) {
	t.Helper()
	check(t, remote.Write(registrytest.Tag(t, r.own, repository), img))
}

func (r *testRegistry) pushIndex(t *testing.T, repository string, idx v1.ImageIndex) {
	t.Helper()
	check(t, remote.WriteIndex(registrytest.Tag(t, r.own, repository), idx))
}

// randomImage has layers of size bytes each.
func randomImage(t *testing.T, size, layers int64) v1.Image {
	t.Helper()
	img, err := random.Image(size, layers)
	check(t, err)
	return img
}

func digestOf(t *testing.T, img interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := img.Digest()
	check(t, err)
	return d.String()
}

// entries are what a layout's index names, by tag; nil without an index.
func entries(t *testing.T, dir string) map[string]ocispec.Descriptor {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if os.IsNotExist(err) {
		return nil
	}
	check(t, err)
	var idx ocispec.Index
	check(t, json.Unmarshal(data, &idx))
	named := map[string]ocispec.Descriptor{}
	for _, m := range idx.Manifests {
		named[m.Annotations[ocispec.AnnotationRefName]] = m
	}
	return named
}

// complete fails unless all that an entry refers to is in the layout, with the
// digests that are said.
func complete(t *testing.T, dir string, desc ocispec.Descriptor) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded()))
	check(t, err)
	if int64(len(data)) != desc.Size || desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		t.Errorf("%s is not what it should be", desc.Digest)
	}
	var doc struct {
		Config    *ocispec.Descriptor
		Layers    []ocispec.Descriptor
		Manifests []ocispec.Descriptor
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return
	}
	check(t, json.Unmarshal(data, &doc))
	if doc.Config != nil {
		complete(t, dir, *doc.Config)
	}
	for _, d := range append(doc.Layers, doc.Manifests...) {
		complete(t, dir, d)
	}
}

// files are the paths of all files in a directory, blobs aside.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && !d.IsDir() && !strings.HasPrefix(rel, "blobs") {
			list = append(list, rel)
		}
		return err
	}))
	return list
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
