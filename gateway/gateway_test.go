package gateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestPullByPathAndByNamespace(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "team/app:1", 2)
	g := newGateway(t, nil, u)
	want, err := img.RawManifest()
	must(t, err)
	dgst, err := img.Digest()
	must(t, err)
	for _, path := range []string{
		"/v2/team/app/manifests/1?ns=" + u.host,
		"/v2/" + u.host + "/team/app/manifests/1",
		"/v2/" + strings.ReplaceAll(u.host, ":", "_") + "/team/app/manifests/1",
		"/v2/team/app/manifests/" + dgst.String() + "?ns=" + u.host,
		"/v2/team/app/manifests/" + strings.ReplaceAll(dgst.String(), ":", "%3A") + "?ns=" + u.host,
	} {
		a := g.do(t, http.MethodGet, path)
		if a.status != http.StatusOK || !bytes.Equal(a.body, want) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		h := g.do(t, http.MethodHead, path)
		if h.status != http.StatusOK || len(h.body) != 0 {
			t.Errorf("HEAD %s: %d %q", path, h.status, h.body)
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Docker-Content-Digest", "Etag"} {
			if a.header.Get(name) != h.header.Get(name) || a.header.Get(name) == "" {
				t.Errorf("%s: %s is %q for GET and %q for HEAD", path, name, a.header.Get(name), h.header.Get(name))
			}
		}
		if got := a.header.Get("Docker-Content-Digest"); got != dgst.String() {
			t.Errorf("%s: digest %s, want %s", path, got, dgst)
		}
	}
}

func TestPullWholeImageAsAnotherClientDoes(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "team/app:1", 3)
	g := newGateway(t, nil, u)
	ref, err := name.ParseReference(strings.TrimPrefix(g.URL, "http://")+"/"+strings.ReplaceAll(u.host, ":", "_")+"/team/app:1", name.Insecure)
	must(t, err)
	pulled, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "certsd", Password: g.secret}), remote.WithTransport(g.Client().Transport))
	must(t, err)
	must(t, validate.Image(pulled))
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "team/app:1", 1)
	g := newGateway(t, nil, u)
	path, content := layerOf(t, img)
	path = "/v2/team/app/blobs/" + path + "?ns=" + u.host
	etag := `"` + strings.TrimPrefix(strings.Split(path, "?")[0], "/v2/team/app/blobs/") + `"`
	for _, tt := range []struct {
		name, method string
		header       []string
		status       int
		body         []byte
		contentRange string
	}{
		{name: "whole", method: http.MethodGet, status: 200, body: content},
		{name: "head", method: http.MethodHead, status: 200},
		{name: "a range", method: http.MethodGet, header: []string{"Range", "bytes=10-19"}, status: 206, body: content[10:20], contentRange: "bytes 10-19/"},
		{name: "an open range", method: http.MethodGet, header: []string{"Range", "bytes=1000-"}, status: 206, body: content[1000:], contentRange: "bytes 1000-"},
		{name: "several ranges are ignored", method: http.MethodGet, header: []string{"Range", "bytes=1-2,4-5"}, status: 200, body: content},
		{name: "a huge list of ranges is ignored", method: http.MethodGet, header: []string{"Range", "bytes=" + strings.Repeat("0-0,", 2000) + "1-1"}, status: 200, body: content},
		{name: "another unit is ignored", method: http.MethodGet, header: []string{"Range", "lines=1-2"}, status: 200, body: content},
		{name: "beyond the end", method: http.MethodGet, header: []string{"Range", "bytes=99999999-"}, status: 416},
		{name: "the client has it", method: http.MethodGet, header: []string{"If-None-Match", etag}, status: 304},
		{name: "the client has another", method: http.MethodGet, header: []string{"If-None-Match", `"sha256:1"`}, status: 200, body: content},
		{name: "a range of another version", method: http.MethodGet, header: []string{"Range", "bytes=0-1", "If-Range", `"sha256:1"`}, status: 200, body: content},
		{name: "a range of this version", method: http.MethodGet, header: []string{"Range", "bytes=0-1", "If-Range", etag}, status: 206, body: content[:2], contentRange: "bytes 0-1/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := g.do(t, tt.method, path, tt.header...)
			if a.status != tt.status || tt.status < 300 && !bytes.Equal(a.body, tt.body) {
				t.Errorf("got %d with %d bytes %.200q", a.status, len(a.body), a.body)
			}
			if got := a.header.Get("Content-Range"); !strings.HasPrefix(got, tt.contentRange) || tt.contentRange == "" && got != "" {
				t.Errorf("Content-Range %q, want %q", got, tt.contentRange)
			}
		})
	}
}

// layerOf is the digest and the content of an image's first layer.
func layerOf(tb testing.TB, img v1.Image) (string, []byte) {
	tb.Helper()
	layers, err := img.Layers()
	must(tb, err)
	dgst, err := layers[0].Digest()
	must(tb, err)
	rc, err := layers[0].Compressed()
	must(tb, err)
	defer rc.Close()
	content, err := io.ReadAll(rc)
	must(tb, err)
	return dgst.String(), content
}

func TestTheSecretStaysHere(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "app:1", 1)
	g := newGateway(t, nil, u)
	if a := g.do(t, http.MethodGet, "/v2/app/manifests/1?ns="+u.host, "Cookie", "a=b", "Authorization", "Bearer mine"); a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	for _, r := range u.seen() {
		for _, name := range []string{"Authorization", tokenHeader, "Cookie"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s %s has %s", r.Method, r.URL, name)
			}
		}
	}
}

func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "app:1", 1)
	g := newGateway(t, nil, u)
	for _, tt := range []struct {
		name, header, value string
		status              int
	}{
		{name: "the header", header: tokenHeader, value: g.secret, status: 200},
		{name: "a password", header: "Authorization", value: basic("certsd", g.secret), status: 200},
		{name: "another user", header: "Authorization", value: basic("root", g.secret), status: 401},
		{name: "a wrong password", header: "Authorization", value: basic("certsd", g.secret+"x"), status: 401},
		{name: "a wrong header", header: tokenHeader, value: g.secret[1:], status: 401},
		{name: "a long header", header: tokenHeader, value: strings.Repeat("x", 8000), status: 401},
		{name: "nothing", header: "X", value: "", status: 401},
		{name: "a token", header: "Authorization", value: "Bearer " + g.secret, status: 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/v2/", "/v2/app/manifests/1?ns=" + u.host} {
				a := g.do(t, http.MethodGet, path, tokenHeader, "", tt.header, tt.value)
				if a.status != tt.status {
					t.Errorf("%s: %d %s", path, a.status, a.body)
				}
				if challenge := a.header.Get("WWW-Authenticate"); (a.status == 401) != strings.HasPrefix(challenge, "Basic realm=") {
					t.Errorf("%s: challenge %q", path, challenge)
				}
			}
		})
	}
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}
