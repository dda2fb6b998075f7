package resolver_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// archive is a registry that only speaks v1, behind TLS, whose v2 base answers
// as a test wants it to.
type archive struct {
	*v1test.Server
	servers, clients *certtest.CA
}

func newArchive(t *testing.T, base http.HandlerFunc, accepted ...string) *archive {
	t.Helper()
	a := &archive{servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients")}
	a.Server = v1test.New(v1test.Options{
		TLS: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{a.servers.Server("127.0.0.1").TLS},
			ClientAuth:   tls.RequestClientCert,
		},
		Wrap: func(next http.Handler) http.Handler {
			v1 := next
			if len(accepted) > 0 {
				v1 = v1test.Certificates(accepted...)(next)
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.HasPrefix(r.URL.Path, "/v2/"):
					v1.ServeHTTP(w, r)
				case r.URL.Path == "/v2/" && base != nil:
					base(w, r)
				default:
					http.NotFound(w, r)
				}
			})
		},
	})
	t.Cleanup(a.Close)
	a.Add("library/app", "1",
		v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))},
		v1test.Layer{Data: v1test.Tar(map[string]string{"b": "2"}), Fields: map[string]any{"config": map[string]any{"Cmd": []string{"/b"}}}},
	)
	return a
}

// dir makes the archive's host directory below root.
func (a *archive) dir(t *testing.T, root string, pairs ...string) string {
	t.Helper()
	dir := filepath.Join(root, a.Host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := a.servers.Write(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	for _, name := range pairs {
		if err := a.clients.Client(name).Write(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newStore(t *testing.T) content.Store {
	t.Helper()
	store, err := local.NewLabeledStore(t.TempDir(), &memoryLabels{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// memoryLabels is a local.LabelStore. Layers are committed side by side.
type memoryLabels struct {
	mu     sync.Mutex
	labels map[digest.Digest]map[string]string
}

func (m *memoryLabels) Get(d digest.Digest) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.labels[d]), nil
}

func (m *memoryLabels) Set(d digest.Digest, labels map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.labels == nil {
		m.labels = map[digest.Digest]map[string]string{}
	}
	m.labels[d] = labels
	return nil
}

func (m *memoryLabels) Update(d digest.Digest, labels map[string]string) (map[string]string, error) {
	all, _ := m.Get(d)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	return all, m.Set(d, all)
}

func (a *archive) asked(path string) int {
	n := 0
	for _, r := range a.Requests() {
		if strings.HasSuffix(r.URI, path) {
			n++
		}
	}
	return n
}

func TestRegistryV1IsAskedOnlyWhereThereIsNoV2(t *testing.T) {
	t.Parallel()
	answer := func(status int, header string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("Docker-Distribution-API-Version", header)
			}
			w.WriteHeader(status)
		}
	}
	challenge := func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	for name, row := range map[string]struct {
		base   http.HandlerFunc
		policy resolver.V1Policy
		noDir  bool
		toml   string
		want   bool
	}{
		"a base of 404 with a directory":           {want: true},
		"a base of 404 that is of a v2 registry":   {base: answer(404, "registry/2.0")},
		"a base that wants credentials":            {base: answer(401, "")},
		"a base that forbids":                      {base: answer(403, "")},
		"a base that is broken":                    {base: answer(503, "")},
		"a base that works":                        {base: answer(200, "")},
		"a base that is none for those who log in": {base: challenge},
		"never, by the policy":                     {policy: resolver.V1Never},
		"never for this host":                      {toml: "registry_v1 = \"never\"\n"},
		"never, but always for this host":          {policy: resolver.V1Never, toml: "registry_v1 = \"always\"\n", want: true},
		"always, with a directory for all of them": {policy: resolver.V1Always, noDir: true, want: true},
		"configured, by a directory for all":       {noDir: true},
		"always, beside v2":                        {base: answer(200, "registry/2.0"), toml: "registry_v1 = \"always\"\n", want: true},
		"always, beside v2 behind a password":      {base: challenge, toml: "registry_v1 = \"always\"\n", want: true},
		"always, where v2 is 400":                  {base: answer(400, ""), policy: resolver.V1Always, want: true},
		"always, where v2 is 405":                  {base: answer(405, ""), policy: resolver.V1Always, want: true},
		"always, where v2 is 501":                  {base: answer(501, ""), policy: resolver.V1Always, want: true},
		"always, where v2 itself says 400":         {base: answer(400, "registry/2.0"), policy: resolver.V1Always},
		"always, where v2 forbids":                 {base: answer(403, ""), policy: resolver.V1Always},
		"always, where v2 is broken":               {base: answer(503, ""), policy: resolver.V1Always},
		"configured, where v2 is 400":              {base: answer(400, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t, row.base)
			root := t.TempDir()
			dir := a.dir(t, root)
			if row.toml != "" {
				write(t, filepath.Join(dir, "hosts.toml"), row.toml+fmt.Sprintf("server = %q\n", a.URL))
			}
			if row.noDir {
				if err := os.Rename(dir, filepath.Join(root, "_default")); err != nil {
					t.Fatal(err)
				}
			}
			hosts := newHosts(t, root)
			hosts.RegistryV1 = row.policy
			_, _, err := resolver.New(resolver.Options{
				Hosts: hosts, Store: newStore(t),
				Credentials: func(string) (string, string, error) { return "jo", "pw", nil },
			}).Resolve(t.Context(), a.Host+"/app:1")
			if row.want != (err == nil) {
				t.Errorf("got %v", err)
			}
			if !row.want && !errdefs.IsNotFound(err) {
				t.Errorf("the answer of v2 is lost: %v", err)
			}
			if asked := a.asked("/ancestry") > 0; asked != row.want {
				t.Errorf("asked in v1: %v", asked)
			}
		})
	}
}

// TestWhereV1WasNotAsked the error names the setting, if there is a v1.
func TestWhereV1WasNotAsked(t *testing.T) {
	t.Parallel()
	const setting = `answers /v1/_ping, but Registry v1 was not tried: set registry_v1 = "always"`
	for name, row := range map[string]struct {
		base int
		toml string
		want string
	}{
		"beside v2":            {base: 200, want: setting},
		"where v2 is 400":      {base: 400, want: setting},
		"configured in a file": {base: 501, toml: "configured", want: `its hosts.toml says registry_v1 = "configured": make that "always"`},
		"never":                {base: 200, toml: "never"},
		"where it was asked":   {base: 200, toml: "always"},
	} {
		a := newArchive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(row.base) })
		root := t.TempDir()
		dir := a.dir(t, root)
		if row.toml != "" {
			write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("registry_v1 = %q\nserver = %q\n", row.toml, a.URL))
		}
		res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)})
		_, _, err := res.Resolve(t.Context(), a.Host+"/other:1")
		_, terr := res.Tags(t.Context(), a.Host+"/other")
		for _, err := range []error{err, terr} {
			if err == nil || !errdefs.IsNotFound(err) || strings.Contains(err.Error(), "/v1/_ping,") != (row.want != "") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestWhoSpeaksV1IsKnownByPort: what one port of a host answers says nothing of
// another.
func TestWhoSpeaksV1IsKnownByPort(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a := newArchive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	a.dir(t, root)
	b := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/_ping" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	b.Dir(t, root)
	res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)})
	for range 2 {
		for host, speaks := range map[string]bool{a.Host: true, b.Host: false} {
			_, _, err := res.Resolve(t.Context(), host+"/other:1")
			if err == nil || strings.Contains(err.Error(), "answers /v1/_ping") != speaks {
				t.Errorf("%s, which speaks v1 %t: %v", host, speaks, err)
			}
		}
	}
}

func TestPullFromRegistryV1BehindCertificates(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil, "bravo")
	root := t.TempDir()
	a.dir(t, root, "alpha", "bravo")
	hosts, store := newHosts(t, root), newStore(t)
	r := resolver.New(resolver.Options{Hosts: hosts, Store: store})

	name, desc, err := r.Resolve(t.Context(), a.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := images.Manifest(t.Context(), store, desc, nil)
	if err != nil || len(manifest.Layers) != 2 {
		t.Fatalf("manifest %+v: %v", manifest, err)
	}
	fetcher, err := r.Fetcher(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := fetcher.Fetch(t.Context(), manifest.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got, err := digest.FromReader(rc); err != nil || got != manifest.Layers[0].Digest {
		t.Errorf("fetched %s: %v", got, err)
	}

	layers := a.asked("/layer")
	if _, again, err := resolver.New(resolver.Options{Hosts: hosts, Store: store}).Resolve(t.Context(), a.Host+"/app:1"); err != nil || again.Digest != desc.Digest {
		t.Errorf("the second pull: %v %v", again, err)
	}
	if n := a.asked("/layer"); n != layers {
		t.Errorf("the second pull asked for %d layers", n-layers)
	}
	for _, pin := range []string{"1@" + desc.Digest.String(), "@" + desc.Digest.String()} {
		ref := a.Host + "/app" + map[bool]string{true: "", false: ":"}[strings.HasPrefix(pin, "@")] + pin
		if _, pinned, err := r.Resolve(t.Context(), ref); err != nil || pinned.Digest != desc.Digest {
			t.Errorf("%s: %v %v", ref, pinned, err)
		}
	}
	// A digest by itself is for what was converted from there, as a whole.
	for _, pin := range []string{"copy@" + desc.Digest.String(), "app@" + manifest.Layers[0].Digest.String(), "app@" + manifest.Config.Digest.String()} {
		if _, got, err := r.Resolve(t.Context(), a.Host+"/"+pin); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "has no digests") {
			t.Errorf("%s: %v %v", pin, got, err)
		}
	}
}

func TestRegistryV1RedirectsToItself(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	root := t.TempDir()
	write(t, filepath.Join(a.dir(t, root), "hosts.toml"), fmt.Sprintf("server = %q\n[header]\nX-Team = \"blue\"\n", a.URL))
	// As Apache does for a directory.
	a.Fail(v1test.Failure{Path: regexp.MustCompile("/images$"), Status: http.StatusMovedPermanently, Header: http.Header{"Location": {a.URL + "/v1/repositories/app/images?"}}})
	_, _, err := resolver.New(resolver.Options{
		Hosts: newHosts(t, root), Store: newStore(t), Header: http.Header{"X-Pull": {"green"}},
	}).Resolve(t.Context(), a.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Requests() {
		if strings.HasPrefix(r.URI, "/v1/") && (r.Header.Get("X-Team") != "blue" || r.Header.Get("X-Pull") != "green") {
			t.Errorf("%s: headers %v", r.URI, r.Header)
		}
	}
}

// TestSchema1ManifestHasTheDigestAskedFor has a registry that answers with some
// schema 1 manifest to whatever it is asked for.
func TestSchema1ManifestHasTheDigestAskedFor(t *testing.T) {
	t.Parallel()
	r, manifest := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+prettyjws", false)
	root := t.TempDir()
	r.Dir(t, root)
	images, wanted := r.Images, digest.FromString("another manifest")
	r.Images = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.URL.Path = strings.Replace(req.URL.Path, wanted.String(), manifest.String(), 1)
		images.ServeHTTP(w, req)
	})
	_, desc, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(t.Context(), r.Host+"/app@"+wanted.String())
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "it has the digest "+manifest.String()) {
		t.Errorf("got %v, %v", desc, err)
	}
}

func TestRegistryV1ErrorsSayWhatWasTried(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil, "nobody")
	root := t.TempDir()
	a.dir(t, root, "alpha", "bravo")
	hosts := newHosts(t, root)
	wrong := digest.FromString("another image")
	for ref, wants := range map[string][]string{
		a.Host + "/app:1":                 {"Registry v1", a.Host, "/v1/", "alpha.cert", "bravo.cert", "403"},
		a.Host + "/app@" + wrong.String(): {"Registry v1 has no digests", "app:TAG@" + wrong.String()},
	} {
		_, _, err := resolver.New(resolver.Options{Hosts: hosts, Store: newStore(t)}).Resolve(t.Context(), ref)
		if err == nil {
			t.Errorf("%s: no error", ref)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in:\n%v", ref, want, err)
			}
		}
	}
}

// TestRegistryV1AccountIsOfWhatFailed has a layer given up for another's sake.
func TestRegistryV1AccountIsOfWhatFailed(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	root := t.TempDir()
	a.dir(t, root)
	built := a.Add("library/two", "1", v1test.Layer{Data: v1test.Tar(map[string]string{"a": "1"})}, v1test.Layer{Data: v1test.Tar(map[string]string{"b": "2"})})
	begun := make(chan struct{})
	a.Fail(v1test.Failure{Path: regexp.MustCompile(built[0].ID + "/layer$"), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})})
	a.Fail(v1test.Failure{Path: regexp.MustCompile(built[1].ID + "/layer$"), Wait: begun, Status: http.StatusGone})
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(t.Context(), a.Host+"/two:1")
	if err == nil || !strings.Contains(err.Error(), built[1].ID+"/layer: 410 Gone") || strings.Contains(err.Error(), built[0].ID) {
		t.Errorf("got %v", err)
	}
}

func TestPinnedTagOfRegistryV1IsCompared(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	root := t.TempDir()
	a.dir(t, root)
	wrong := digest.FromString("another image")
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).
		Resolve(t.Context(), a.Host+"/app:1@"+wrong.String())
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "not to the digest asked for") {
		t.Errorf("got %v", err)
	}
}

// schema1Registry serves one unsigned schema 1 manifest.
func schema1Registry(t *testing.T, contentType string, withDigest bool) (*mtlsRegistry, digest.Digest) {
	t.Helper()
	layer := v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))
	layerDigest := digest.FromBytes(layer)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 1, "name": "app", "tag": "1", "architecture": "amd64",
		"fsLayers": []map[string]string{{"blobSum": layerDigest.String()}},
		"history":  []map[string]string{{"v1Compatibility": `{"id":"` + strings.Repeat("a", 64) + `","os":"linux","architecture":"amd64"}`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifestDigest := digest.FromBytes(manifest)
	r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body := manifest
		switch req.URL.Path {
		case "/v2/":
			w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
			return
		case "/v2/app/manifests/1", "/v2/app/manifests/" + manifestDigest.String():
			w.Header().Set("Content-Type", contentType)
			if withDigest {
				w.Header().Set("Docker-Content-Digest", manifestDigest.String())
			}
		case "/v2/app/blobs/" + layerDigest.String():
			body = layer
		default:
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
	return r, manifestDigest
}

func TestSchema1ManifestsAreConverted(t *testing.T) {
	t.Parallel()
	const signed, unsigned = "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/vnd.docker.distribution.manifest.v1+json"
	digests := map[digest.Digest]bool{}
	for _, row := range []struct {
		name, contentType string
		withDigest        bool
		byDigest          bool
	}{
		{"by tag", unsigned, true, false},
		{"by digest", unsigned, true, true},
		{"called signed", signed, true, false},
		{"without digest header", signed, false, false},
		{"from the first v2 registries", "application/json; charset=utf-8", true, false},
	} {
		r, manifest := schema1Registry(t, row.contentType, row.withDigest)
		root := t.TempDir()
		r.Dir(t, root, "alpha")
		ref := r.Host + "/app:1"
		if row.byDigest {
			ref = r.Host + "/app@" + manifest.String()
		}
		store := newStore(t)
		_, desc, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: store}).Resolve(t.Context(), ref)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		digests[desc.Digest] = true
		if _, err := images.Manifest(t.Context(), store, desc, nil); err != nil || desc.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %+v %v", row.name, desc, err)
		}
	}
	if len(digests) != 1 {
		t.Errorf("one image has the digests %v", digests)
	}
}

func TestSchema1IsRefusedWhereItMustBe(t *testing.T) {
	t.Parallel()
	r, manifest := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", true)
	root := t.TempDir()
	r.Dir(t, root)
	refusing := newHosts(t, root)
	refusing.NoSchema1 = true
	for name, row := range map[string]struct {
		options resolver.Options
		want    string
	}{
		"switched off":    {resolver.Options{Hosts: refusing, Store: newStore(t)}, "schema1 = false"},
		"without a store": {resolver.Options{Hosts: newHosts(t, root)}, "no content store"},
	} {
		_, _, err := resolver.New(row.options).Resolve(t.Context(), r.Host+"/app@"+manifest.String())
		if !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRegistryV1IsNotAskedForACanceledPull keeps the probe of the base from
// hiding what really happened.
func TestRegistryV1IsNotAskedForACanceledPull(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		cancel()
		http.NotFound(w, r)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, host), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, host, "hosts.toml"), fmt.Sprintf("server = %q\n", srv.URL))
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(ctx, host+"/app:1")
	if err == nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestSchema1ComesThroughAMirrorAsOtherManifestsDo looks at the requests made
// beside docker's resolver: they carry what that one would have sent.
func TestSchema1ComesThroughAMirrorAsOtherManifestsDo(t *testing.T) {
	t.Parallel()
	mirror, _ := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+prettyjws", false)
	mirror.Guard(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		problem := ""
		switch {
		case r.URL.Query().Get("ns") != "registry.test":
			problem = "ns is " + r.URL.Query().Get("ns")
		case r.Header.Get("X-Team") != "green":
			problem = "the pull's header is missing"
		case !strings.HasPrefix(r.Header.Get("User-Agent"), "containerd/"):
			problem = "this is " + r.Header.Get("User-Agent")
		}
		if problem != "" {
			t.Errorf("%s %s: %s", r.Method, r.URL, problem)
		}
		return false
	})
	root := t.TempDir()
	mirror.Dir(t, root)
	dir := filepath.Join(root, "registry.test")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("server = %q\n", "https://"+mirror.Host))
	hosts := newHosts(t, root)
	var warnings []string
	hosts.Hooks.OnWarning = func(host string, problem error) { warnings = append(warnings, host+": "+problem.Error()) }
	_, _, err := resolver.New(resolver.Options{
		Hosts: hosts, Store: newStore(t), Header: http.Header{"X-Team": {"green"}},
	}).Resolve(t.Context(), "registry.test/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestSchema1ManifestOfAnotherNameIsWorthAWarning(t *testing.T) {
	t.Parallel()
	r, manifest := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", true)
	images := r.Images
	r.Images = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.URL.Path = strings.ReplaceAll(req.URL.Path, "/copy/", "/app/")
		images.ServeHTTP(w, req)
	})
	root := t.TempDir()
	r.Dir(t, root)
	hosts := newHosts(t, root)
	var warnings []string
	hosts.Hooks.OnWarning = func(_ string, problem error) { warnings = append(warnings, problem.Error()) }
	_, _, err := resolver.New(resolver.Options{Hosts: hosts, Store: newStore(t)}).Resolve(t.Context(), r.Host+"/copy@"+manifest.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `calls itself "app"`) {
		t.Errorf("warnings: %q", warnings)
	}
}

// TestSchema1TokensAreForTheRepository has a registry whose challenges name no
// scope: the client has to know.
func TestSchema1TokensAreForTheRepository(t *testing.T) {
	t.Parallel()
	r, _ := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", false)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		switch {
		case req.URL.Path == "/token":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"token":%q}`, req.URL.Query().Get("scope"))
		case req.Header.Get("Authorization") == "Bearer repository:app:pull":
			return false
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+req.Host+`/token",service="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	if _, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(t.Context(), r.Host+"/app:1"); err != nil {
		t.Error(err)
	}
}

// TestSchema1ImagesByTheDigestTheyConvertTo pulls by a digest that the registry
// has never heard of.
func TestSchema1ImagesByTheDigestTheyConvertTo(t *testing.T) {
	t.Parallel()
	r, _ := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", true)
	root := t.TempDir()
	r.Dir(t, root)
	full := newStore(t)
	_, desc, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: full}).Resolve(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	wrong := digest.FromString("another image")
	refusing := newHosts(t, root)
	refusing.NoSchema1 = true
	const byDigest = "a schema 1 image has another digest there than when it is converted: pull "
	for name, row := range map[string]struct {
		object string
		store  content.Store
		hosts  *resolver.Hosts
		is     func(error) bool
		want   string
	}{
		"with its tag":                      {object: "app:1@" + desc.Digest.String()},
		"with its tag, pulled before":       {object: "app:1@" + desc.Digest.String(), store: full},
		"pulled before":                     {object: "app@" + desc.Digest.String(), store: full},
		"not pulled before":                 {object: "app@" + desc.Digest.String(), is: errdefs.IsNotFound, want: byDigest + r.Host + "/app:TAG@" + desc.Digest.String()},
		"pulled from another repository":    {object: "copy@" + desc.Digest.String(), store: full, is: errdefs.IsNotFound, want: byDigest},
		"with the tag of another":           {object: "app:1@" + wrong.String(), is: errdefs.IsFailedPrecondition, want: "converts to " + desc.Digest.String()},
		"with a tag that is not there":      {object: "app:2@" + desc.Digest.String(), is: errdefs.IsNotFound, want: "not found"},
		"with its tag, but it is forbidden": {object: "app:1@" + desc.Digest.String(), store: full, hosts: refusing, is: errdefs.IsNotFound, want: "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := resolver.Options{Hosts: row.hosts, Store: row.store}
			if o.Hosts == nil {
				o.Hosts = newHosts(t, root)
			}
			if o.Store == nil {
				o.Store = newStore(t)
			}
			name, got, err := resolver.New(o).Resolve(t.Context(), r.Host+"/"+row.object)
			switch {
			case row.is == nil && (err != nil || got.Digest != desc.Digest || name != r.Host+"/"+row.object):
				t.Errorf("%s %v: %v", name, got, err)
			case row.is != nil && (!row.is(err) || !strings.Contains(err.Error(), row.want)):
				t.Errorf("got %v", err)
			}
		})
	}
}
