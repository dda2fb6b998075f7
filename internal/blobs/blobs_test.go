package blobs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/blobs"
)

func described(mediaType, data string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(data), Size: int64(len(data))}
}

func handle(t *testing.T, parent string, children ...ocispec.Descriptor) ([]ocispec.Descriptor, content.Store, error) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := blobs.Handler(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) { return children, nil }, store)
	got, err := h(t.Context(), described(parent, "parent"))
	return got, store, err
}

// TestWhatAManifestNamesIsABlob: what an index names is not.
func TestWhatAManifestNamesIsABlob(t *testing.T) {
	t.Parallel()
	config := described(ocispec.MediaTypeImageConfig, "{}")
	layer := described(ocispec.MediaTypeImageLayerGzip, "layer")
	types := []string{
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2ManifestList,
	}
	children := []ocispec.Descriptor{config, layer}
	want := []ocispec.Descriptor{config, layer}
	for _, mediaType := range types {
		children = append(children, described(mediaType, mediaType))
		want = append(want, described(blobs.MediaType, mediaType))
		want[len(want)-1].Size = int64(len(mediaType))
	}
	given := append([]ocispec.Descriptor(nil), children...)
	for _, parent := range types {
		got, _, err := handle(t, parent, children...)
		expected := want
		if images.IsIndexType(parent) {
			expected = given
		}
		if diff := cmp.Diff(expected, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", parent, err, diff)
		}
	}
	if diff := cmp.Diff(given, children); diff != "" {
		t.Errorf("the list given is changed (-want +got)\n%s", diff)
	}
}

func TestBlobsOfNothingAreStored(t *testing.T) {
	t.Parallel()
	nothing := described("text/plain", "")
	got, store, err := handle(t, ocispec.MediaTypeImageManifest, nothing, nothing)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if info, err := store.Info(t.Context(), nothing.Digest); err != nil || info.Size != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	for _, wrong := range []ocispec.Descriptor{{Digest: digest.FromString("something")}, {Digest: "sha256:../../x"}, {}} {
		if _, _, err := handle(t, ocispec.MediaTypeImageManifest, wrong); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", wrong.Digest, err)
		}
	}
}

func TestErrorsOfTheListAreItsOwn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	h := blobs.Handler(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) { return nil, broken }, nil)
	if _, err := h(t.Context(), described(ocispec.MediaTypeImageManifest, "")); err != broken {
		t.Errorf("got %v", err)
	}
}
