package choice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/choice"
)

// documents are a remotes.Fetcher.
type documents map[digest.Digest][]byte

func (d documents) Fetch(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	body, ok := d[desc.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (d documents) add(t *testing.T, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	d[desc.Digest] = body
	return desc
}

// image is one for a platform, and says so in its configuration alone.
func (d documents) image(t *testing.T, arch string) ocispec.Descriptor {
	t.Helper()
	config := d.add(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}})
	return d.add(t, ocispec.MediaTypeImageManifest, map[string]any{"schemaVersion": 2, "config": config, "layers": []any{}})
}

// TestIndexWithoutPlatforms: the configurations tell.
func TestIndexWithoutPlatforms(t *testing.T) {
	t.Parallel()
	d := documents{}
	inner := d.add(t, ocispec.MediaTypeImageIndex, map[string]any{"schemaVersion": 2, "manifests": []any{d.image(t, "s390x"), d.image(t, "arm64")}})
	root := d.add(t, ocispec.MediaTypeImageIndex, map[string]any{"schemaVersion": 2, "manifests": []any{d.image(t, "amd64"), inner}})
	_, entries, err := choice.Flatten(t.Context(), d, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		at := choice.Best(ocispec.Platform{OS: "linux", Architecture: arch}, entries)
		if at < 0 || entries[at].Digest != d.image(t, arch).Digest {
			t.Errorf("%s: %d of %v", arch, at, choice.Names(entries))
		}
	}
	if at := choice.Best(ocispec.Platform{OS: "linux", Architecture: "ppc64le"}, entries); at >= 0 {
		t.Errorf("for another machine: %v", entries[at])
	}
}

// TestDocumentsAreWhatTheirDigestSays, and manifests are manifests.
func TestDocumentsAreWhatTheirDigestSays(t *testing.T) {
	t.Parallel()
	d := documents{}
	desc := d.add(t, ocispec.MediaTypeImageManifest, map[string]any{"errors": []any{}})
	if _, _, err := choice.ReadManifest(t.Context(), d, desc); err == nil {
		t.Error("what is no manifest was taken for one")
	}
	d[desc.Digest] = []byte("{}")
	if _, err := choice.ReadDocument(t.Context(), d, desc); !errors.As(err, new(*choice.DigestError)) {
		t.Errorf("other content: %v", err)
	}
}
