package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// ociTypes maps Docker's media types to OCI's.
var ociTypes = map[string]string{
	images.MediaTypeDockerSchema2Manifest:     ocispec.MediaTypeImageManifest,
	images.MediaTypeDockerSchema2ManifestList: ocispec.MediaTypeImageIndex,
	images.MediaTypeDockerSchema2Config:       ocispec.MediaTypeImageConfig,
	images.MediaTypeDockerSchema2Layer:        ocispec.MediaTypeImageLayer,
	images.MediaTypeDockerSchema2LayerGzip:    ocispec.MediaTypeImageLayerGzip,
	images.MediaTypeDockerSchema2LayerZstd:    ocispec.MediaTypeImageLayerZstd,
	//lint:ignore SA1019 what old images have
	images.MediaTypeDockerSchema2LayerForeign: ocispec.MediaTypeImageLayerNonDistributable, //nolint:staticcheck // what old images have
	//lint:ignore SA1019 what old images have
	images.MediaTypeDockerSchema2LayerForeignGzip: ocispec.MediaTypeImageLayerNonDistributableGzip, //nolint:staticcheck // what old images have
}

// isDocker reports whether a media type is one of Docker's.
func isDocker(mediaType string) bool { _, ok := ociTypes[mediaType]; return ok }

// ociForm writes Docker's manifests a second time, as OCI's, and returns the
// equivalent of desc. skopeo 1.9 finds no others in a layout. Layers and
// configurations stay as they are. Content without an OCI form is left alone.
func ociForm(ctx context.Context, store content.Store, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	switch {
	case images.IsIndexType(desc.MediaType):
		return ociIndex(ctx, store, desc)
	case desc.MediaType == images.MediaTypeDockerSchema2Manifest:
		return ociManifest(ctx, store, desc)
	default:
		return desc, nil
	}
}

func ociIndex(ctx context.Context, store content.Store, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := read(ctx, store, desc, &index); err != nil {
		return desc, err
	}
	moved := map[digest.Digest]ocispec.Descriptor{}
	for i, m := range index.Manifests {
		oci, err := ociForm(ctx, store, m)
		if err != nil {
			return desc, err
		}
		if oci.Digest != m.Digest {
			moved[m.Digest] = oci
		}
		index.Manifests[i] = oci
	}
	if len(moved) == 0 && !isDocker(desc.MediaType) {
		return desc, nil
	}
	for i, m := range index.Manifests {
		var err error
		if index.Manifests[i], err = follow(ctx, store, m, moved); err != nil {
			return desc, err
		}
	}
	index.MediaType = ocispec.MediaTypeImageIndex
	return write(ctx, store, desc, index.MediaType, index)
}

// follow updates an entry of an index that refers to other entries by their old
// digests: in annotations, as attestations do (vnd.docker.reference.digest), and as
// the subject.
func follow(ctx context.Context, store content.Store, desc ocispec.Descriptor, moved map[digest.Digest]ocispec.Descriptor) (ocispec.Descriptor, error) {
	if images.IsManifestType(desc.MediaType) {
		var m ocispec.Manifest
		if err := read(ctx, store, desc, &m); err != nil {
			return desc, err
		}
		if m.Subject != nil {
			if to, ok := moved[m.Subject.Digest]; ok {
				m.Subject.MediaType, m.Subject.Digest, m.Subject.Size = to.MediaType, to.Digest, to.Size
				m.Annotations = followed(m.Annotations, moved)
				var err error
				if desc, err = write(ctx, store, desc, desc.MediaType, m); err != nil {
					return desc, err
				}
			}
		}
	}
	desc.Annotations = followed(desc.Annotations, moved)
	return desc, nil
}

// followed returns annotations with the new digests of what was moved.
func followed(annotations map[string]string, moved map[digest.Digest]ocispec.Descriptor) map[string]string {
	annotations = maps.Clone(annotations)
	for key, value := range annotations {
		if to, ok := moved[digest.Digest(value)]; ok {
			annotations[key] = to.Digest.String()
		}
	}
	return annotations
}

func ociManifest(ctx context.Context, store content.Store, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	var m ocispec.Manifest
	if err := read(ctx, store, desc, &m); err != nil {
		return desc, err
	}
	m.MediaType = ocispec.MediaTypeImageManifest
	for _, d := range parts(&m) {
		switch {
		case isDocker(d.MediaType):
			d.MediaType = ociTypes[d.MediaType]
		case images.IsLayerType(d.MediaType) || d.MediaType == ocispec.MediaTypeImageConfig:
		default:
			return desc, nil
		}
	}
	return write(ctx, store, desc, m.MediaType, m)
}

// parts returns the descriptors in a manifest.
func parts(m *ocispec.Manifest) []*ocispec.Descriptor {
	list := []*ocispec.Descriptor{&m.Config}
	for i := range m.Layers {
		list = append(list, &m.Layers[i])
	}
	return list
}

func read(ctx context.Context, store content.Provider, desc ocispec.Descriptor, into any) error {
	data, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, jsonwords.Of(err))
	}
	return nil
}

// write stores a document that replaces another.
func write(ctx context.Context, store content.Ingester, of ocispec.Descriptor, mediaType string, document any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return of, err
	}
	of.MediaType, of.Digest, of.Size = mediaType, digest.FromBytes(data), int64(len(data))
	return of, content.WriteBlob(ctx, store, remotes.MakeRefKey(ctx, of), bytes.NewReader(data), of)
}
