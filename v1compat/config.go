package v1compat

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imageConfig is the OCI image config with Docker's additions to its runtime config.
type imageConfig struct {
	Created *time.Time `json:"created,omitempty"`
	Author  string     `json:"author,omitempty"`
	ocispec.Platform
	Config  runtimeConfig     `json:"config"`
	RootFS  ocispec.RootFS    `json:"rootfs"`
	History []ocispec.History `json:"history"`
}

// config builds the OCI config from the leaf's JSON, the history and the layers.
func (v *conversion) config(layers []outcome) ([]byte, error) {
	leaf := v.docs[len(v.docs)-1]
	runtime, odd := leaf.runtime()
	for _, what := range odd {
		v.warn(fmt.Errorf("%s/%s: %s", v.img.Registry, v.img.Repository, what))
	}
	config := imageConfig{
		Created:  leaf.created,
		Author:   leaf.author,
		Platform: leaf.platform(v.img.Architecture),
		Config:   runtime,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	for i, layer := range layers {
		config.History = append(config.History, v.docs[i].history(layer.empty))
		if !layer.empty {
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.diffID)
		}
	}
	body, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if most := v.Limits.config(); len(body) > most {
		return nil, fmt.Errorf("config: %d bytes are more than the limit of %d", len(body), most)
	}
	return body, nil
}

func (d *document) history(empty bool) ocispec.History {
	return ocispec.History{
		Created:    d.created,
		CreatedBy:  d.createdBy,
		Author:     d.author,
		Comment:    d.comment,
		EmptyLayer: empty,
	}
}

// platform returns the image's platform. Before 0.7.3 Docker wrote the kernel's names
// of architectures and no os at all; the defaults are those of its own registry.
func (d *document) platform(fallback string) ocispec.Platform {
	arch := strings.ToLower(strings.TrimSpace(text(d.fields.get("architecture"))))
	if arch == "" {
		arch = strings.ToLower(strings.TrimSpace(fallback))
	}
	variant := strings.TrimSpace(text(d.fields.get("variant")))
	switch arch {
	case "", "x86_64", "x86-64":
		arch = "amd64"
	case "x86", "i386", "i486", "i586", "i686":
		arch = "386"
	case "aarch64":
		arch = "arm64"
	case "armhf", "armv7", "armv7l":
		arch, variant = "arm", "v7"
	case "armel", "armv6", "armv6l":
		arch, variant = "arm", "v6"
	}
	os := strings.ToLower(strings.TrimSpace(text(d.fields.get("os"))))
	if os == "" {
		os = "linux"
	}
	return ocispec.Platform{
		Architecture: arch,
		OS:           os,
		OSVersion:    text(d.fields.get("os.version")),
		OSFeatures:   words(d.fields.get("os.features")),
		Variant:      variant,
	}
}
