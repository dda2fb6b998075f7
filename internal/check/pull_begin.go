package check

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/choice"
	"github.com/certsd/containerd-certsd/internal/manifest"
)

const (
	// maxLayers bounds how many layers are tried. A layer of up to maxWhole bytes is
	// read whole and verified.
	maxLayers = 128
	maxWhole  = 64 << 10
)

// begin reads the manifest for this machine and its configuration, verifies both, and
// reads the beginning of each layer: what a pull would choose, and what would make it
// fail.
func begin(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, ref string) error {
	if manifest.KindOf(desc.MediaType) == manifest.Index {
		_, entries, err := choice.Flatten(ctx, fetcher, desc)
		if err != nil {
			return fmt.Errorf("index %s: %w", desc.Digest, err)
		}
		at := choice.Best(choice.Host(), entries)
		if at < 0 {
			return &choice.MissingPlatformError{Ref: ref, Want: choice.Host(), Has: choice.Names(entries)}
		}
		desc = entries[at]
	}
	_, m, err := choice.ReadManifest(ctx, fetcher, desc)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if m.Config != nil {
		if _, err := choice.ReadDocument(ctx, fetcher, *m.Config); err != nil {
			return fmt.Errorf("configuration %s: %w", m.Config.Digest, err)
		}
	}
	for _, blob := range m.Blobs[:min(len(m.Blobs), maxLayers)] {
		if err := beginBlob(ctx, fetcher, blob); err != nil {
			return fmt.Errorf("layer %s: %w", blob.Digest, err)
		}
	}
	return nil
}

func beginBlob(ctx context.Context, fetcher remotes.Fetcher, blob ocispec.Descriptor) error {
	if blob.Size <= maxWhole {
		_, err := choice.ReadDocument(ctx, fetcher, blob)
		return err
	}
	body, err := fetcher.Fetch(ctx, blob)
	if err != nil {
		return err
	}
	defer closing(body)
	if _, err = io.ReadFull(body, make([]byte, 1)); errors.Is(err, io.EOF) {
		return fmt.Errorf("it is empty, and should have %d bytes", blob.Size)
	}
	return err
}
