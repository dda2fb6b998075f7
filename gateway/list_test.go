package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTagsArePaged(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	var want []string
	for i := range 5 {
		tag := fmt.Sprintf("t%d", i)
		u.push(t, "team/app:"+tag, 1)
		want = append(want, tag)
	}
	g := newGateway(t, nil, u)
	byPath := strings.ReplaceAll(u.host, ":", "_") + "/team/app"
	for _, tt := range []struct{ path, name string }{
		{"/v2/team/app/tags/list?n=2&ns=" + u.host, "team/app"},
		{"/v2/" + byPath + "/tags/list?n=2", byPath},
		{"/v2/" + byPath + "/tags/list", byPath},
		{"/v2/" + byPath + "/tags/list?n=100", byPath},
	} {
		var got []string
		for next, pages := tt.path, 0; next != ""; pages++ {
			if pages > 5 {
				t.Fatalf("%s: no end", tt.path)
			}
			a := g.do(t, http.MethodGet, next)
			var list struct {
				Name string
				Tags []string
			}
			if err := json.Unmarshal(a.body, &list); err != nil || a.status != http.StatusOK || list.Name != tt.name {
				t.Fatalf("%s: %d %s", next, a.status, a.body)
			}
			got = append(got, list.Tags...)
			next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
	}
	for path, want := range map[string]string{
		"/v2/team/app/tags/list?n=0&ns=" + u.host:           `{"name":"team/app","tags":[]}`,
		"/v2/team/app/tags/list?last=t3&ns=" + u.host:       `{"name":"team/app","tags":["t4"]}`,
		"/v2/team/app/tags/list?last=t3x&ns=" + u.host:      `{"name":"team/app","tags":["t4"]}`,
		"/v2/team/app/tags/list?last=zzz&n=1&ns=" + u.host:  `{"name":"team/app","tags":[]}`,
		"/v2/team/app/tags/list?n=1&last=t0&ns=" + u.host:   `{"name":"team/app","tags":["t1"]}`,
		"/v2/team/app/tags/list?n=-1&ns=" + u.host:          `{"errors":[{"code":"UNSUPPORTED","message":"n is \"-1\", which is not a number"}]}` + "\n",
		"/v2/team/app/tags/list?n=99999999999&ns=" + u.host: `{"errors":[{"code":"UNSUPPORTED","message":"n is \"99999999999\", which is not a number"}]}` + "\n",
	} {
		if a := g.do(t, http.MethodGet, path); string(a.body) != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := g.do(t, http.MethodGet, "/v2/team/none/tags/list?ns="+u.host); a.status != http.StatusNotFound || !strings.Contains(string(a.body), codeNameUnknown) {
		t.Errorf("no repository: %d %s", a.status, a.body)
	}
}

func TestTagsOfRegistryV1(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.add("library/app", "1")
	a.add("library/app", "2")
	g := newGateway(t, nil, a)
	if got := g.do(t, http.MethodGet, "/v2/library/app/tags/list?ns="+a.Host); string(got.body) != `{"name":"library/app","tags":["1","2"]}` {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestReferrers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "team/app:1", 1)
	subject, err := img.Digest()
	must(t, err)
	u.refer(t, "team/app", img, "application/signature")
	u.refer(t, "team/app", img, "application/sbom")
	g := newGateway(t, nil, u)
	path := "/v2/team/app/referrers/" + subject.String() + "?ns=" + u.host
	for query, want := range map[string]int{"": 2, "&artifactType=application/sbom": 1, "&artifactType=other": 0} {
		a := g.do(t, http.MethodGet, path+query)
		var index ocispec.Index
		if err := json.Unmarshal(a.body, &index); err != nil || a.status != http.StatusOK ||
			a.header.Get("Content-Type") != ocispec.MediaTypeImageIndex || len(index.Manifests) != want {
			t.Errorf("%s: %d %v %s", query, a.status, a.header, a.body)
		}
		if filtered := a.header.Get("OCI-Filters-Applied"); (filtered == "artifactType") != (query != "") {
			t.Errorf("%s: filters %q", query, filtered)
		}
	}
	var index ocispec.Index
	must(t, json.Unmarshal(g.do(t, http.MethodGet, path+"&artifactType=application/sbom").body, &index))
	entry, err := json.Marshal(index.Manifests[0])
	must(t, err)
	descriptor := string(entry)
	// A registry that knows nothing of referrers.
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/referrers/") || strings.Contains(r.URL.Path, "/manifests/sha256-") {
			http.NotFound(w, r)
			return true
		}
		return false
	})
	if a := g.do(t, http.MethodGet, path); a.status != http.StatusOK || string(a.body) != `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}` {
		t.Errorf("without the API: %d %s", a.status, a.body)
	}
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/referrers/") {
			http.NotFound(w, r)
			return true
		}
		if strings.Contains(r.URL.Path, "/manifests/sha256-") {
			_, _ = w.Write([]byte(`{"schemaVersion":2,"manifests":[` + descriptor + `]}`))
			return true
		}
		return false
	})
	if a := g.do(t, http.MethodGet, path); a.status != http.StatusOK || !strings.Contains(string(a.body), "application/sbom") {
		t.Errorf("by the tag: %d %s", a.status, a.body)
	}
}

// TestReferrersThatCannotBeHad: a client must not take an image for unsigned
// because of a registry that is out of order.
func TestReferrersThatCannotBeHad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	g := newGateway(t, nil, u)
	path := "/v2/team/app/referrers/" + someDigest + "?ns=" + u.host
	// After 5xx the other certificate is refused with 403, or is not tried: the
	// registry was sick a moment ago.
	for upstream, want := range map[int]int{400: 502, 401: 403, 403: 403, 405: 502, 429: 503, 500: 502, 503: 502} {
		for _, at := range []string{"/referrers/", "/manifests/sha256-"} {
			u.answers(func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case strings.Contains(r.URL.Path, at):
					w.WriteHeader(upstream)
				case strings.Contains(r.URL.Path, "/referrers/"):
					http.NotFound(w, r)
				default:
					return false
				}
				return true
			})
			a := g.do(t, http.MethodGet, path)
			if a.status != want && (upstream < 500 || a.status != http.StatusForbidden) {
				t.Errorf("%d for %s: %d %s", upstream, at, a.status, a.body)
			}
		}
	}
}

// refer pushes an artifact that refers to an image.
func (u *upstream) refer(tb testing.TB, repository string, subject v1.Image, artifactType string) {
	tb.Helper()
	img, err := random.Image(10, 1)
	must(tb, err)
	desc, err := partial.Descriptor(subject)
	must(tb, err)
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.MediaType(artifactType))
	with, ok := mutate.Subject(img, *desc).(v1.Image)
	if !ok {
		tb.Fatal("no image")
	}
	dgst, err := with.Digest()
	must(tb, err)
	plain := httptest.NewServer(u.images)
	defer plain.Close()
	ref, err := name.NewDigest(strings.TrimPrefix(plain.URL, "http://")+"/"+repository+"@"+dgst.String(), name.Insecure)
	must(tb, err)
	must(tb, remote.Write(ref, with))
}
