package imageservice

import (
	"bytes"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/manifest"
)

// TestWhatIsReadAtOnce is not of any size, although a registry names the digest of a
// layer of containerd's and calls it a manifest or a configuration.
func TestWhatIsReadAtOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	s, _ := n.serve(t)
	ctx := namespaces.WithNamespace(t.Context(), namespace)
	put := func(size int64) digest.Digest {
		t.Helper()
		data := make([]byte, size)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: size}
		must(t, content.WriteBlob(ctx, n.db.ContentStore(), desc.Digest.String(), bytes.NewReader(data), desc))
		return desc.Digest
	}
	for size, mediaTypes := range map[int64][]string{
		manifest.MaxSize: {ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2ManifestList},
		maxImageConfig:   {ocispec.MediaTypeImageConfig, images.MediaTypeDockerSchema2Config, docker.LegacyConfigMediaType},
	} {
		whole, larger := put(size), put(size+1)
		for _, mediaType := range mediaTypes {
			desc := ocispec.Descriptor{MediaType: mediaType, Digest: whole, Size: 9}
			if body, err := content.ReadBlob(ctx, s.target.client.ContentStore(), desc); err != nil || int64(len(body)) != size {
				t.Errorf("%s: %d bytes, %v", mediaType, len(body), err)
			}
			desc.Digest = larger
			if body, err := content.ReadBlob(ctx, s.target.client.ContentStore(), desc); err == nil || !strings.Contains(err.Error(), larger.String()) {
				t.Errorf("%s: read %d bytes, %v", mediaType, len(body), err)
			}
		}
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: larger, Size: size + 1}
		ra, err := s.target.client.ContentStore().ReaderAt(ctx, desc)
		must(t, err)
		must(t, ra.Close())
	}
}
