package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// oldImages is a registry of schema 1 manifests.
type oldImages struct {
	// manifests are by repository, blobs by digest.
	manifests map[string][]byte
	blobs     map[string][]byte
}

// newOldImages has a repository for each name, with an image of one layer each.
func newOldImages(layers map[string][]byte) *oldImages {
	o := &oldImages{manifests: map[string][]byte{}, blobs: map[string][]byte{}}
	for name, layer := range layers {
		d := digest.FromBytes(layer).String()
		o.blobs[d] = layer
		history, _ := json.Marshal(map[string]any{"id": strings.Repeat("ab", 32), "os": "linux", "architecture": "amd64"})
		o.manifests[name], _ = json.Marshal(map[string]any{
			"schemaVersion": 1, "name": name, "tag": "1", "architecture": "amd64",
			"fsLayers": []any{map[string]string{"blobSum": d}},
			"history":  []any{map[string]string{"v1Compatibility": string(history)}},
		})
	}
	return o
}

// ServeHTTP implements http.Handler.
func (o *oldImages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, object, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/")
	if body, ok := o.manifests[name]; ok && (object == "1" || object == digest.FromBytes(body).String()) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
		http.ServeContent(w, r, "", zeroTime, bytes.NewReader(body))
		return
	}
	_, object, _ = strings.Cut(r.URL.Path, "/blobs/")
	if body, ok := o.blobs[object]; ok {
		http.ServeContent(w, r, "", zeroTime, bytes.NewReader(body))
		return
	}
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	w.WriteHeader(http.StatusNotFound)
}

// smallLayer is a layer like no other.
func smallLayer(name string) []byte {
	return v1test.Gzip(v1test.Tar(map[string]string{"etc/name": name}))
}

// TestSchema1ByItsOwnDigest: what is served has the digest that was asked for, or
// is not served.
func TestSchema1ByItsOwnDigest(t *testing.T) {
	t.Parallel()
	o := newOldImages(map[string][]byte{"app": smallLayer("app")})
	u := newUpstream(t, o)
	g := newGateway(t, nil, u)
	own := digest.FromBytes(o.manifests["app"])
	path := "/v2/app/manifests/" + own.String() + "?ns=" + u.host
	for range 2 { // converted, and stored before
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			got := g.do(t, method, path)
			converted := desc(t, g, "/v2/app/manifests/1?ns="+u.host)
			if got.status != http.StatusNotFound || got.header.Get("Docker-Content-Digest") != "" {
				t.Errorf("%s: %d, %s", method, got.status, got.header.Get("Docker-Content-Digest"))
			}
			if method == http.MethodGet && !strings.Contains(string(got.body), u.host+"/app@"+converted.String()) {
				t.Errorf("%s is not named: %s", converted, got.body)
			}
			g.pull(t, u.host, "app", converted.String())
		}
	}
}
