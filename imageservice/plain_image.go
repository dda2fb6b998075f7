package imageservice

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/manifest"
)

// source is where an image comes from.
type source struct {
	// ref appears in errors.
	ref     string
	fetcher remotes.Fetcher
	// store is containerd's content store, which has converted images.
	store content.Provider
}

// plainImage returns an offer of an image whose manifests for this platform it has read;
// cancel ends the pull. It returns nil if containerd would fetch the image, or treat it,
// in another way than is done here: parts from other servers, whose urls it follows by
// itself, encrypted layers, no image at all, none for this platform.
func plainImage(ctx context.Context, cancel context.CancelFunc, from source, desc ocispec.Descriptor) (*offer, error) {
	o := &offer{
		ctx: ctx, cancel: cancel, source: from, platform: platforms.DefaultSpec(),
		documents: map[digest.Digest]document{}, blobs: map[digest.Digest]ocispec.Descriptor{},
	}
	m, err := o.read(ctx, desc)
	if err != nil {
		return nil, err
	}
	plain := false
	switch {
	case images.IsManifestType(desc.MediaType):
		plain = o.takeImage(m)
	case images.IsIndexType(desc.MediaType):
		plain, err = o.takeIndex(ctx, m)
	}
	if err != nil || !plain {
		return nil, err
	}
	return o, nil
}

// read reads an index or a manifest.
func (o *offer) read(ctx context.Context, desc ocispec.Descriptor) (*manifest.Manifest, error) {
	body, err := o.source.document(ctx, desc)
	if err != nil {
		return nil, err
	}
	if got := desc.Digest.Algorithm().FromBytes(body); got != desc.Digest {
		return nil, fmt.Errorf("%s: the manifest %s has the digest %s", o.source.ref, desc.Digest, got)
	}
	m, err := manifest.Parse(body, desc.MediaType)
	if err != nil {
		return nil, fmt.Errorf("%s: the manifest %s: %w", o.source.ref, desc.Digest, err)
	}
	o.documents[desc.Digest] = document{desc.MediaType, int64(len(body)), body}
	return m, nil
}

// document returns an index or a manifest, containerd's if it has it.
func (s source) document(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size <= manifest.MaxSize {
		body, err := content.ReadBlob(ctx, s.store, desc)
		if !errdefs.IsNotFound(err) {
			return body, err
		}
	}
	rc, err := s.fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return io.ReadAll(io.LimitReader(rc, manifest.MaxSize+1))
}

// maxManifests bounds how many manifests of an index are read.
const maxManifests = 16

// takeIndex offers the manifests for this platform: all that containerd fetches, which are
// those without a platform, too.
func (o *offer) takeIndex(ctx context.Context, index *manifest.Manifest) (plain bool, err error) {
	o.platform = bestPlatform(index.Manifests)
	fetched, read := platforms.Ordered(o.platform), 0
	for _, desc := range index.Manifests {
		if len(desc.URLs) > 0 {
			return false, nil
		}
		if desc.Platform != nil && !fetched.Match(*desc.Platform) {
			continue
		}
		if !images.IsManifestType(desc.MediaType) || read == maxManifests {
			return false, nil
		}
		m, err := o.read(ctx, desc)
		if err != nil || !o.takeImage(m) {
			return false, err
		}
		read++
	}
	return read > 0, nil
}

// bestPlatform returns the one of an index that this machine runs best: containerd fetches
// only manifests of the very platform that it is told.
func bestPlatform(manifests []ocispec.Descriptor) ocispec.Platform {
	here := platforms.Only(platforms.DefaultSpec())
	var best *ocispec.Platform
	for _, desc := range manifests {
		if p := desc.Platform; p != nil && here.Match(*p) && (best == nil || here.Less(*p, *best)) {
			best = p
		}
	}
	if best == nil {
		return platforms.DefaultSpec()
	}
	return *best
}

// takeImage offers the blobs of an image.
func (o *offer) takeImage(m *manifest.Manifest) (plain bool) {
	if m.Kind != manifest.Image || m.Config == nil || !plainConfig(*m.Config) || len(m.Blobs) == 0 {
		return false
	}
	o.blobs[m.Config.Digest] = *m.Config
	for _, layer := range m.Blobs {
		if !plainLayer(layer) {
			return false
		}
		o.blobs[layer.Digest] = layer
	}
	return true
}

func plainConfig(desc ocispec.Descriptor) bool {
	return images.IsConfigType(desc.MediaType) && len(desc.URLs) == 0 && desc.Size <= maxImageConfig
}

func plainLayer(desc ocispec.Descriptor) bool {
	return images.IsLayerType(desc.MediaType) && !images.IsNonDistributable(desc.MediaType) &&
		!strings.Contains(desc.MediaType, "encrypted") && len(desc.URLs) == 0
}
