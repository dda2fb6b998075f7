package resolver_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// secrets are what belongs to one registry: a header of its directory, a header
// of the pull and a password.
var secrets = []string{"of-the-directory", "of-the-pull", "amE6cHc=", "pw", "jo"}

// checkNothingPrivate looks for secrets and certificates in what another server
// received.
func checkNothingPrivate(t *testing.T, calls []call) {
	t.Helper()
	if len(calls) == 0 {
		t.Error("the other server was not asked: nothing was tested")
	}
	for _, c := range calls {
		for name, values := range c.Header {
			for _, s := range secrets {
				if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, s) }) {
					t.Errorf("%s %s carried %s: %s", c.Method, c.Path, name, values)
				}
			}
		}
		if c.Client != "" {
			t.Errorf("%s %s presented %s", c.Method, c.Path, c.Client)
		}
	}
}

// private are the options of a pull with all kinds of secrets.
func private(hosts *resolver.Hosts) resolver.Options {
	return resolver.Options{
		Hosts:       hosts,
		Header:      http.Header{"X-Pull": {"of-the-pull"}, "Authorization": {"Basic amE6cHc="}},
		Credentials: func(string) (string, string, error) { return "jo", "pw", nil },
	}
}

// privateDir is a directory with a pair and a header, which trusts the other
// server's CA.
func privateDir(t *testing.T, root string, r, other *mtlsRegistry) string {
	t.Helper()
	dir := r.Dir(t, root, "alpha")
	writeHeader(t, dir, r, "of-the-directory")
	if err := other.Servers.Write(dir, "other"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeHeader(t *testing.T, dir string, r *mtlsRegistry, value string) {
	t.Helper()
	write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("server = %q\n[header]\nX-Secret = %q\n", "https://"+r.Host, value))
}

// TestNothingOfTheRegistryReachesItsTokenServer is about one on another host,
// also after the headers in the directory were changed in the middle of a pull.
// The credentials are for it, and for it alone.
func TestNothingOfTheRegistryReachesItsTokenServer(t *testing.T) {
	t.Parallel()
	tokens := tokenServer(t)
	r := newRegistry(t, nil)
	img := r.Push(t, "app:1", 1)
	challenging := func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if req.Header.Get("Authorization") == "Bearer token-for-nobody" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	root := t.TempDir()
	dir := privateDir(t, root, r, tokens)
	options := private(newHosts(t, root))
	options.Credentials = nil
	res := resolver.New(options)
	name, _, err := res.Resolve(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	writeHeader(t, dir, r, "another-one-of-the-directory")
	r.Guard(challenging)
	fetchConfig(t, res, name, img)
	calls := tokens.Calls()
	checkNothingPrivate(t, calls)
	for _, c := range calls {
		if v := c.Header.Get("X-Secret"); v != "" {
			t.Errorf("the token server received X-Secret: %s", v)
		}
	}
}

// TestUploadToAnotherHostCarriesNothing follows the Location of an upload.
func TestUploadToAnotherHostCarriesNothing(t *testing.T) {
	t.Parallel()
	other := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	r := newRegistry(t, nil)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if req.Method != http.MethodPost {
			return false
		}
		w.Header().Set("Location", "https://"+other.Host+"/upload?id=1")
		w.WriteHeader(http.StatusAccepted)
		return true
	})
	root := t.TempDir()
	privateDir(t, root, r, other)
	p, err := resolver.New(private(newHosts(t, root))).Pusher(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("layer")
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
	w, err := p.Push(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	if err := content.Copy(t.Context(), w, strings.NewReader(string(data)), desc.Size, desc.Digest); err != nil {
		t.Error(err)
	}
	checkNothingPrivate(t, other.Calls())
}

// TestRedirectToTheSameNameIsToAnotherHost: another port, and a name that
// resolves to the same machine. Go's own client would send Authorization to the
// first.
func TestRedirectToTheSameNameIsToAnotherHost(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"127.0.0.1", "localhost"} {
		images := newRegistry(t, nil)
		images.Push(t, "app:1", 1)
		other := newRegistry(t, images.Images)
		_, port, _ := strings.Cut(other.Host, ":")
		r := newRegistry(t, images.Images)
		r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
			if !strings.Contains(req.URL.Path, "/blobs/") {
				return false
			}
			http.Redirect(w, req, "https://"+name+":"+port+req.URL.Path, http.StatusTemporaryRedirect)
			return true
		})
		root := t.TempDir()
		privateDir(t, root, r, other)
		pull(t, resolver.New(private(newHosts(t, root))), r.Host+"/app:1")
		checkNothingPrivate(t, other.Calls())
	}
}

// TestMirrorsGetOnlyTheirOwn looks at certificates, headers and credentials of
// a mirror and of the registry behind it.
func TestMirrorsGetOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	mirror, r := newRegistry(t, nil), newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	wantBasic := func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if _, _, ok := req.BasicAuth(); ok {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	mirror.Guard(wantBasic)
	r.Guard(wantBasic)
	root := t.TempDir()
	mirror.Dir(t, root, "mirrorpair")
	write(t, filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml"), fmt.Sprintf(
		"server = %q\n[header]\nX-Secret = \"registry\"\n[host.%q]\n[host.%q.header]\nX-Secret = \"mirror\"\n",
		"https://"+r.Host, "https://"+mirror.Host, "https://"+mirror.Host))
	pull(t, resolver.New(resolver.Options{
		Hosts:       newHosts(t, root),
		Credentials: func(host string) (string, string, error) { return "jo", "of-" + host, nil },
	}), r.Host+"/app:1")

	for host, want := range map[*mtlsRegistry]struct{ client, header string }{
		mirror: {"mirrorpair", "mirror"}, r: {"alpha", "registry"},
	} {
		calls := host.Calls()
		if diff := cmp.Diff([]string{want.client}, clients(calls)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, c := range calls {
			if v := c.Header.Get("X-Secret"); v != want.header {
				t.Errorf("%s at the %s: X-Secret: %s", c.Path, want.header, v)
			}
			req := http.Request{Header: c.Header}
			if _, password, ok := req.BasicAuth(); ok && password != "of-"+host.Host {
				t.Errorf("%s at the %s: password %s", c.Path, want.header, password)
			}
		}
	}
}

// TestDefaultDirectoryIsNotForRedirectTargets has a pair for any registry: a
// redirect target and a token server are none.
func TestDefaultDirectoryIsNotForRedirectTargets(t *testing.T) {
	t.Parallel()
	tokens := tokenServer(t)
	images := newRegistry(t, nil)
	images.Push(t, "app:1", 1)
	other := newRegistry(t, images.Images)
	r := newRegistry(t, images.Images)
	r.Guard(func(w http.ResponseWriter, req *http.Request, client string) bool {
		switch {
		case client != "everywhere":
			w.WriteHeader(http.StatusForbidden)
		case req.Header.Get("Authorization") != "Bearer token-for-nobody":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(req.URL.Path, "/blobs/"):
			http.Redirect(w, req, "https://"+other.Host+req.URL.Path, http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	})
	root := t.TempDir()
	dir := r.Dir(t, root, "everywhere")
	for _, s := range []*mtlsRegistry{other, tokens} {
		if err := s.Servers.Write(dir, "ca-of-"+strings.ReplaceAll(s.Host, ":", "-")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(dir, filepath.Join(root, "_default")); err != nil {
		t.Fatal(err)
	}
	pull(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host+"/app:1")
	checkNothingPrivate(t, other.Calls())
	checkNothingPrivate(t, tokens.Calls())
}

// TestCredentialsAreAskedForByTheNameInTheReference: a client compares it with
// the name it was given, such as the server address of CRI.
func TestCredentialsAreAskedForByTheNameInTheReference(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if _, _, ok := req.BasicAuth(); ok {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, port, _ := strings.Cut(r.Host, ":")
	root := t.TempDir()
	if err := os.Rename(r.Dir(t, root), filepath.Join(root, "localhost:"+port)); err != nil {
		t.Fatal(err)
	}
	for _, spelling := range []string{"localhost:" + port, "LocalHost:" + port} {
		var asked []string
		_, _, err := resolver.New(resolver.Options{
			Hosts: newHosts(t, root),
			Credentials: func(host string) (string, string, error) {
				asked = append(asked, host)
				return "jo", "pw", nil
			},
		}).Resolve(t.Context(), spelling+"/app:1")
		if diff := cmp.Diff([]string{spelling}, asked); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", spelling, err, diff)
		}
	}
}

// TestRegistryV1LayersElsewhereGetNothingPrivate has an archive whose layers
// lie on another host.
func TestRegistryV1LayersElsewhereGetNothingPrivate(t *testing.T) {
	t.Parallel()
	var images http.Handler
	servers, clients := certtest.NewCA("servers"), certtest.NewCA("clients")
	other := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { images.ServeHTTP(w, req) }))
	registry := v1test.New(v1test.Options{
		TLS: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
			ClientAuth:   tls.RequestClientCert,
		},
		Wrap: func(next http.Handler) http.Handler {
			images = next
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch _, _, ok := req.BasicAuth(); {
				case strings.HasPrefix(req.URL.Path, "/v2/"):
					http.NotFound(w, req)
				case strings.HasSuffix(req.URL.Path, "/images") && (!ok || req.Header.Get("X-Pull") == "" || req.Header.Get("X-Secret") == ""):
					t.Errorf("%s does not carry what is for the registry: %v", req.URL, req.Header)
				case strings.HasSuffix(req.URL.Path, "/layer"):
					http.Redirect(w, req, "https://"+other.Host+req.URL.Path, http.StatusFound)
				default:
					next.ServeHTTP(w, req)
				}
			})
		},
	})
	t.Cleanup(registry.Close)
	registry.Add("library/app", "1", v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))})
	root := t.TempDir()
	r := &mtlsRegistry{Host: registry.Host, Servers: servers, Clients: clients}
	privateDir(t, root, r, other)
	options := private(newHosts(t, root))
	options.Header.Del("Authorization")
	options.Store = newStore(t)
	if _, _, err := resolver.New(options).Resolve(t.Context(), registry.Host+"/app:1"); err != nil {
		t.Fatal(err)
	}
	checkNothingPrivate(t, other.Calls())
}

// fetchConfig fetches the configuration of an image that was resolved.
func fetchConfig(t *testing.T, r *resolver.Resolver, name string, img v1.Image) {
	t.Helper()
	want, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(config))
	f, err := r.Fetcher(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := f.Fetch(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.Digest(want.String()), Size: size})
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := digest.FromReader(rc); err != nil || got.String() != want.String() {
		t.Errorf("fetched %s: %v", got, err)
	}
}
