package plugin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestArtifactsArePulledWhole: a layer that is a manifest as a file, whose own
// layers are nowhere, and one of nothing.
func TestArtifactsArePulledWhole(t *testing.T) {
	t.Parallel()
	served := map[string]string{}
	blob := func(mediaType, data string) ocispec.Descriptor {
		d := digest.FromString(data)
		served["/v2/app/blobs/"+d.String()] = data
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	elsewhere := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("elsewhere"), Size: 9}
	file, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: elsewhere, Layers: []ocispec.Descriptor{elsewhere}})
	if err != nil {
		t.Fatal(err)
	}
	layers := []ocispec.Descriptor{blob(ocispec.MediaTypeImageManifest, string(file)), blob("text/plain", "")}
	bundle, err := json.Marshal(ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: blob(ocispec.MediaTypeEmptyJSON, "{}"), Layers: layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	served["/v2/app/manifests/1"] = string(bundle)
	served["/v2/app/manifests/"+digest.FromBytes(bundle).String()] = string(bundle)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, there := served[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Docker-Content-Digest", digest.FromString(body).String())
		}
		_, _ = w.Write([]byte(body))
	}))
	defer server.Close()
	d := newDaemon(t, t.TempDir())
	ctx := namespaces.WithNamespace(t.Context(), "test")
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:1"
	progress := &collector{}
	if err := d.ours.Transfer(ctx, wish(t, ref, "", registry.WithDefaultScheme("http")), image.NewStore(ref), progress.option()); err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		got, err := content.ReadBlob(ctx, d.db.ContentStore(), layer)
		if want := served["/v2/app/blobs/"+layer.Digest.String()]; err != nil || string(got) != want {
			t.Errorf("%q, %v, not %q", got, err, want)
		}
	}
}
