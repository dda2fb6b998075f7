package pull_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/certsd/containerd-certsd/internal/pull"
)

// TestIndexesWithoutAnEnd are not followed to where a registry would lead, and nothing of
// them looks like an image.
func TestIndexesWithoutAnEnd(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: randomImage(t, 100, 1)})
	for range 9 {
		index = mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: index})
	}
	r.pushIndex(t, "app:1", index)
	for _, take := range []pull.Platforms{{}, {All: true}} {
		dir := t.TempDir()
		req := r.request(t, "app:1")
		req.Platforms = take
		_, err := pull.ToLayout(t.Context(), req, dir)
		if err == nil || !strings.Contains(err.Error(), "indexes within indexes, more than ") || !strings.Contains(err.Error(), "app:1") {
			t.Errorf("all %t: %v", take.All, err)
		}
		if got := entries(t, dir); len(got) > 0 {
			t.Errorf("all %t: the layout has %v", take.All, got)
		}
	}
}

// TestAnIndexWithMoreThanImages is pulled whole: what else is in it is a blob.
func TestAnIndexWithMoreThanImages(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	layers, err := randomImage(t, 100, 1).Layers()
	check(t, err)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: mutate.MediaType(randomImage(t, 100, 1), types.OCIManifestSchema1)}, mutate.IndexAddendum{Add: layers[0]})
	r.pushIndex(t, "app:1", index)
	dir := t.TempDir()
	req := r.request(t, "app:1")
	req.Platforms = pull.Platforms{All: true}
	_, err = pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	// The index, the layer in it, and a manifest, a configuration and a layer.
	if n := len(blobsOfSize(t, dir, 0)); n != 5 {
		t.Errorf("%d blobs", n)
	}
}
