// Package blobs makes containerd treat the layers and the configuration of a
// manifest as blobs, whatever their media types, even if they are empty.
package blobs

import (
	"bytes"
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MediaType replaces the media type of a manifest that a layer has, for which
// containerd would request a manifest and its children. This one is unknown to it,
// which makes it fetch a blob. "application/octet-stream" would not do: containerd
// takes it for a mistake of old clients, and rewrites the image.
const MediaType = "application/vnd.certsd.blob"

// Handler returns a handler for a pull that makes containerd fetch as blobs what h
// lists for a manifest. It writes empty blobs to the store, under the lease of the
// context: containerd would refuse to fetch them.
func Handler(h images.HandlerFunc, store content.Ingester) images.HandlerFunc {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := h(ctx, desc)
		if err != nil || !images.IsManifestType(desc.MediaType) {
			return children, err
		}
		list := make([]ocispec.Descriptor, len(children))
		for i, c := range children {
			if c.Size == 0 {
				if err := empty(ctx, store, c); err != nil {
					return nil, fmt.Errorf("%s names %s: %w", desc.Digest, c.Digest, err)
				}
			}
			if images.IsManifestType(c.MediaType) || images.IsIndexType(c.MediaType) {
				c.MediaType = MediaType
			}
			list[i] = c
		}
		return list, nil
	}
}

// empty stores an empty blob.
func empty(ctx context.Context, store content.Ingester, desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if desc.Digest.Algorithm().FromBytes(nil) != desc.Digest {
		return fmt.Errorf("a size of zero, which is not that of what the digest names: %w", errdefs.ErrInvalidArgument)
	}
	return content.WriteBlob(ctx, store, remotes.MakeRefKey(ctx, desc), bytes.NewReader(nil), desc)
}
