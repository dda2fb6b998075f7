package resolver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// signatures are a repository app with what refers to a manifest in it.
type signatures struct {
	subject digest.Digest
	bodies  map[string][]byte
	list    []ocispec.Descriptor
}

func newSignatures(t *testing.T, subject digest.Digest, n int) *signatures {
	t.Helper()
	s := &signatures{subject: subject, bodies: map[string][]byte{}}
	for i := range n {
		s.add(t, subject, "application/x-"+strconv.Itoa(i))
	}
	return s
}

func (s *signatures) add(t *testing.T, subject digest.Digest, artifactType string) {
	t.Helper()
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON,
		Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 7},
	}
	m.SchemaVersion = 2
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: artifactType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s.bodies[d.Digest.String()] = body
	s.list = append(s.list, d)
}

func index(list ...ocispec.Descriptor) []byte {
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, list...)}
	i.SchemaVersion = 2
	body, _ := json.Marshal(i)
	return body
}

// tagged serves the list under its tag, and no API. Without a list there is no
// tag either.
func (s *signatures) tagged(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/v2/app/manifests/")
		if name == resolver.ReferrersTag(s.subject) && body != nil {
			_, _ = w.Write(body)
			return
		}
		if data, there := s.bodies[name]; ok && there {
			_, _ = w.Write(data)
			return
		}
		http.NotFound(w, r)
	})
}

// paged serves the list by the API, two at a time.
func (s *signatures) paged() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/app/referrers/"+s.subject.String() {
			s.tagged(nil).ServeHTTP(w, r)
			return
		}
		at, _ := strconv.Atoi(r.URL.Query().Get("at"))
		end := min(at+2, len(s.list))
		if end < len(s.list) {
			w.Header().Set("Link", fmt.Sprintf(`<?at=%d>; rel="next"`, end))
		}
		_, _ = w.Write(index(s.list[at:end]...))
	})
}

func fetchReferrers(t *testing.T, hosts *resolver.Hosts, ref string, subject digest.Digest, o ...remotes.FetchReferrersOpt) ([]string, error) {
	t.Helper()
	f, ok := newFetcher(t, resolver.Options{Hosts: hosts, MaxWait: time.Millisecond}, ref).(remotes.ReferrersFetcher)
	if !ok {
		t.Fatal("referrers cannot be fetched")
	}
	list, err := f.FetchReferrers(t.Context(), subject, o...)
	types := []string{}
	for _, d := range list {
		types = append(types, d.ArtifactType)
	}
	return types, err
}

// TestReferrersAreWhole: in pages, under a tag, or none at all. What is no
// answer to the question is an error, never an empty list.
func TestReferrersAreWhole(t *testing.T) {
	t.Parallel()
	subject := digest.FromString("subject")
	two := newSignatures(t, subject, 2)
	mixed := newSignatures(t, subject, 1)
	mixed.add(t, digest.FromString("other"), "application/of-another")
	gone := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("gone"), Size: 4}
	untyped := slices.Clone(two.list)
	untyped[0].ArtifactType = ""
	api := func(body string) http.Handler { return serve(200, body, nil) }
	both := []string{"application/x-0", "application/x-1"}
	for name, row := range map[string]struct {
		registry http.Handler
		only     string
		want     []string
		err      string
		warnings int
	}{
		"in pages":                    {registry: newSignatures(t, subject, 5).paged(), want: []string{"application/x-0", "application/x-1", "application/x-2", "application/x-3", "application/x-4"}},
		"of a type":                   {registry: newSignatures(t, subject, 5).paged(), only: "application/x-3", want: []string{"application/x-3"}},
		"under a tag":                 {registry: two.tagged(index(two.list...)), want: both},
		"under a tag, without types":  {registry: two.tagged(index(untyped...)), want: both},
		"under a tag, of a type":      {registry: two.tagged(index(untyped...)), only: "application/x-0", want: []string{"application/x-0"}},
		"some of another":             {registry: mixed.tagged(index(mixed.list...)), want: []string{"application/x-0"}, warnings: 1},
		"some that are gone":          {registry: two.tagged(index(append(slices.Clone(two.list), gone)...)), want: both, warnings: 1},
		"another image under the tag": {registry: two.tagged(two.bodies[two.list[0].Digest.String()]), warnings: 1},
		"neither":                     {registry: http.NotFoundHandler()},
		"an empty list":               {registry: api(string(index()))},
		"null":                        {registry: api(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":null}`)},
		"a page of the login":         {registry: api("<html>"), err: "is not a list of referrers: it is not valid JSON from byte 1 on"},
		"no index":                    {registry: api(`{}`), err: "is not a list of referrers: it is not an index"},
		"a manifest":                  {registry: api(string(two.bodies[two.list[0].Digest.String()])), err: "is not a list of referrers: it is not an index"},
		"errors with status 200":      {registry: api(`{"errors":[],"manifests":[]}`), err: "it is not an index"},
		"no digest":                   {registry: api(`{"manifests":[{"digest":"sha256:../../x"}]}`), err: `it lists "sha256:../../x"`},
		"a circle":                    {registry: serve(200, string(index()), func(*http.Request) string { return "?at=1" }), err: "lists the same referrers again and again"},
		"no end":                      {registry: serve(200, string(index()), func(r *http.Request) string { return "?at=1" + r.URL.Query().Get("at") }), err: "lists referrers on more than 1000 pages"},
		"a header that is none":       {registry: serve(200, string(index()), func(*http.Request) string { return "<" }), err: "does not say where its list of referrers continues"},
		"a page under the tag":        {registry: two.tagged([]byte("<html>")), err: "which is not a manifest"},
		"nothing under the tag":       {registry: two.tagged([]byte(`{"errors":[]}`)), err: "which is not a manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, row.registry)
			root := t.TempDir()
			r.Dir(t, root, "alpha")
			hosts := newHosts(t, root)
			var warnings []string
			hosts.Hooks.OnWarning = func(_ string, problem error) { warnings = append(warnings, problem.Error()) }
			var options []remotes.FetchReferrersOpt
			if row.only != "" {
				options = append(options, remotes.WithReferrerArtifactTypes(row.only))
			}
			got, err := fetchReferrers(t, hosts, r.Host+"/app:1", subject, options...)
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) {
					t.Errorf("got %v, %v, want %q", got, err, row.err)
				}
				return
			}
			if err != nil || !slices.Equal(got, row.want) || len(warnings) != row.warnings {
				t.Errorf("got %v, %v, want %v; warnings %q", got, err, row.want, warnings)
			}
		})
	}
}

// TestReferrersThatCannotBeHad: each status but 404 is an error, of the API, of
// a later page of it, of the tag and of what the tag lists.
func TestReferrersThatCannotBeHad(t *testing.T) {
	t.Parallel()
	subject := digest.FromString("subject")
	s := newSignatures(t, subject, 5)
	for _, status := range []int{400, 401, 403, 405, 418, 429, 500, 501, 502, 503} {
		for part, at := range map[string]string{
			"the API": "/referrers/", "a page": "at=", "the tag": "/manifests/sha256-", "what it lists": "/manifests/sha256:",
		} {
			t.Run(fmt.Sprintf("%s %d", part, status), func(t *testing.T) {
				t.Parallel()
				next := s.paged()
				if strings.Contains(at, "/manifests/") {
					next = s.tagged(index(s.list...))
				}
				r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if strings.Contains(req.URL.RequestURI(), at) {
						w.WriteHeader(status)
						return
					}
					next.ServeHTTP(w, req)
				}))
				root := t.TempDir()
				r.Dir(t, root, "alpha")
				got, err := fetchReferrers(t, newHosts(t, root), r.Host+"/app:1", subject)
				if err == nil || !strings.Contains(err.Error(), strconv.Itoa(status)) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
	}
}

// TestReferrersOfAMirror: one that lists none does not hide those of the
// registry, and one that is out of order keeps nobody from them. But there are
// none only if everybody says so.
func TestReferrersOfAMirror(t *testing.T) {
	t.Parallel()
	subject := digest.FromString("subject")
	s := newSignatures(t, subject, 1)
	all := []string{"application/x-0"}
	for name, row := range map[string]struct {
		mirror, registry http.Handler
		want             []string
		fails            bool
	}{
		"has them":                      {mirror: s.paged(), registry: http.NotFoundHandler(), want: all},
		"has none":                      {mirror: serve(200, string(index()), nil), registry: s.paged(), want: all},
		"knows nothing of them":         {mirror: http.NotFoundHandler(), registry: s.paged(), want: all},
		"is out of order":               {mirror: serve(503, "", nil), registry: s.paged(), want: all},
		"neither has any":               {mirror: serve(200, string(index()), nil), registry: http.NotFoundHandler()},
		"is out of order, and no other": {mirror: serve(503, "", nil), registry: http.NotFoundHandler(), fails: true},
		"has none, the registry fails":  {mirror: serve(200, string(index()), nil), registry: serve(503, "", nil), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirror, r := newRegistry(t, row.mirror), newRegistry(t, row.registry)
			root := t.TempDir()
			mirror.Dir(t, root, "alpha")
			write(t, filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml"),
				fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+r.Host, "https://"+mirror.Host))
			got, err := fetchReferrers(t, newHosts(t, root), r.Host+"/app:1", subject)
			if (err != nil) != row.fails || !row.fails && !slices.Equal(got, row.want) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestReferrersTag(t *testing.T) {
	t.Parallel()
	for d, want := range map[digest.Digest]string{
		digest.FromString("x"):        "sha256-" + digest.FromString("x").Encoded(),
		digest.SHA512.FromString("x"): "sha512-" + digest.SHA512.FromString("x").Encoded()[:64],
		digest.SHA384.FromString("x"): "sha384-" + digest.SHA384.FromString("x").Encoded()[:64],
		digest.Digest("a+b." + strings.Repeat("c", 40) + ":" + strings.Repeat("=", 70)): "a-b." + strings.Repeat("c", 28) + "-" + strings.Repeat("-", 64),
	} {
		if got := resolver.ReferrersTag(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}
