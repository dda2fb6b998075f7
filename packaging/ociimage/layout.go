package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fullName is the annotation that "ctr images import" names an image by.
const fullName = "io.containerd.image.name"

// archive is a layout in the making: files by their path.
type archive map[string][]byte

// add adds what a descriptor describes.
func (a archive) add(mediaType string, data []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	a[ocispec.ImageBlobsDir+"/"+string(d.Digest.Algorithm())+"/"+d.Digest.Encoded()] = data
	return d
}

func (a archive) addJSON(mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return a.add(mediaType, data), nil
}

// pack is the archive, in the order of its paths.
func (i *image) pack() ([]byte, error) {
	layout := archive{}
	if err := i.compose(layout); err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	t := tar.NewWriter(&packed)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: i.created, Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(layout)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(layout[name])), ModTime: i.created, Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := t.Write(layout[name]); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// compose makes an index of a manifest for each architecture.
func (i *image) compose(a archive) error {
	all := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: i.annotations(),
	}
	for _, p := range i.programs {
		m, err := i.manifest(a, p[0], p[1])
		if err != nil {
			return err
		}
		all.Manifests = append(all.Manifests, m)
	}
	index, err := a.addJSON(ocispec.MediaTypeImageIndex, all)
	if err != nil {
		return err
	}
	index.Annotations = map[string]string{ocispec.AnnotationRefName: i.tag, fullName: i.name + ":" + i.tag}
	top, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{index},
	})
	if err != nil {
		return err
	}
	version, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	a[ocispec.ImageIndexFile], a[ocispec.ImageLayoutFile] = top, version
	return nil
}

func (i *image) manifest(a archive, arch, file string) (ocispec.Descriptor, error) {
	files, diffID, err := layer(arch, file, i.created)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	platform := ocispec.Platform{OS: "linux", Architecture: arch}
	if arch == "arm64" {
		platform.Variant = "v8"
	}
	config, err := a.addJSON(ocispec.MediaTypeImageConfig, ocispec.Image{
		Created:  &i.created,
		Platform: platform,
		Config: ocispec.ImageConfig{
			User:       "65532:65532",
			Entrypoint: []string{"/" + program},
			Cmd:        []string{"gateway", "--state", "/var/lib/certsd/gateway"},
			// Where the root file system is read-only, this is not.
			Volumes:    map[string]struct{}{"/var/lib/certsd/gateway": {}},
			WorkingDir: "/",
			StopSignal: "SIGTERM",
			Labels:     i.annotations(),
		},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History: []ocispec.History{{Created: &i.created, CreatedBy: "make image"}},
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d, err := a.addJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      config,
		Layers:      []ocispec.Descriptor{a.add(ocispec.MediaTypeImageLayerGzip, files)},
		Annotations: i.annotations(),
	})
	d.Platform = &platform
	return d, err
}

// annotations are the labels with the time.
func (i *image) annotations() map[string]string {
	all := map[string]string{ocispec.AnnotationCreated: i.created.Format("2006-01-02T15:04:05Z")}
	for _, l := range i.labels {
		all[l[0]] = l[1]
	}
	return all
}
