package v1compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// write builds config and manifest and stores them, the manifest last: it must exist
// only if everything it refers to does.
func (v *conversion) write(ctx context.Context, layers []outcome, empties string) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	body, err := v.config(layers)
	if err != nil {
		return none, err
	}
	config := described(ocispec.MediaTypeImageConfig, body)
	labels := map[string]string{v.source.emptyLabel(): empties}
	if err := v.writeBlob(ctx, config, body, labels); err != nil {
		return none, fmt.Errorf("config: %w", err)
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{},
	}
	labels = map[string]string{
		"containerd.io/gc.ref.content.config": config.Digest.String(),
		v.source.imageLabel():                 "true",
	}
	for _, layer := range layers {
		if layer.empty {
			continue
		}
		labels["containerd.io/gc.ref.content.l."+strconv.Itoa(len(manifest.Layers))] = layer.desc.Digest.String()
		manifest.Layers = append(manifest.Layers, layer.desc)
	}
	if body, err = json.Marshal(manifest); err != nil {
		return none, fmt.Errorf("manifest: %w", err)
	}
	desc := described(ocispec.MediaTypeImageManifest, body)
	if err := v.writeBlob(ctx, desc, body, labels); err != nil {
		return none, fmt.Errorf("manifest: %w", err)
	}
	return desc, nil
}

// writeBlob stores a small blob with labels and those of the source. If it exists, it
// gets the labels added.
func (v *conversion) writeBlob(ctx context.Context, desc ocispec.Descriptor, body []byte, labels map[string]string) error {
	labels = v.source.labels(labels)
	ref := "certsd-v1-" + desc.Digest.String()
	err := content.WriteBlob(ctx, v.Store, ref, bytes.NewReader(body), desc, content.WithLabels(labels))
	if err != nil {
		return err
	}
	return v.label(ctx, desc.Digest, labels)
}

func described(mediaType string, body []byte) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: mediaType,
		Digest:    digest.FromBytes(body),
		Size:      int64(len(body)),
	}
}

// emptyTar is the smallest tar archive: the two zero blocks at its end. Its digest,
// sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef, is that of
// Docker's empty layer.
var emptyTar [1024]byte

// keepOne adds one layer to an image that has only empty ones: clients do not expect
// an image without layers.
func (v *conversion) keepOne(ctx context.Context, layers []outcome) ([]outcome, error) {
	for _, layer := range layers {
		if !layer.empty {
			return layers, nil
		}
	}
	desc := described(ocispec.MediaTypeImageLayer, emptyTar[:])
	labels := map[string]string{labelUncompressed: desc.Digest.String()}
	if err := v.writeBlob(ctx, desc, emptyTar[:], labels); err != nil {
		return nil, fmt.Errorf("empty layer: %w", err)
	}
	layers[0] = outcome{desc: desc, diffID: desc.Digest}
	return layers, nil
}
