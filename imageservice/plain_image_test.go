package imageservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/manifest"
)

// put puts a document on the shelf.
func (s shelf) put(mediaType string, body []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	s[desc.Digest] = holding(body)
	return desc
}

func (s shelf) putJSON(t *testing.T, mediaType string, v any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(v)
	must(t, err)
	return s.put(mediaType, body)
}

// blobOf describes a blob, which is nowhere.
func blobOf(name, mediaType string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(name), Size: 9}
}

// image puts the manifest of an image on the shelf.
func (s shelf) image(t *testing.T, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, Config: blobOf("config", ocispec.MediaTypeImageConfig), Layers: layers,
	})
}

func (s shelf) index(t *testing.T, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return s.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: manifests})
}

// on returns a manifest's entry in an index.
func on(platform string, desc ocispec.Descriptor) ocispec.Descriptor {
	p := platforms.MustParse(platform)
	desc.Platform = &p
	return desc
}

const here = "linux/" + goArch

// TestPlainImage: what containerd fetches and treats as is done here is offered, with all
// that it asks for, and nothing else is.
func TestPlainImage(t *testing.T) {
	t.Parallel()
	layer, other := blobOf("layer", ocispec.MediaTypeImageLayerGzip), blobOf("other", ocispec.MediaTypeImageLayerZstd)
	also := alsoRuns()
	poorer := platforms.Format(ocispec.Platform{OS: also.OS, Architecture: also.Architecture, Variant: also.Variant})
	// Each returns what to offer, and the digests to be offered; none if it is not plain.
	for name, build := range map[string]func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest){
		"an image": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer, other)
			return desc, []digest.Digest{desc.Digest, digest.FromString("config"), layer.Digest, other.Digest}
		},
		"Docker's image": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			layer := blobOf("layer", images.MediaTypeDockerSchema2LayerGzip)
			desc := s.putJSON(t, images.MediaTypeDockerSchema2Manifest, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, Config: blobOf("config", images.MediaTypeDockerSchema2Config), Layers: []ocispec.Descriptor{layer},
			})
			return desc, []digest.Digest{desc.Digest, digest.FromString("config"), layer.Digest}
		},
		"an index": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer)
			index := s.index(t, on("plan9/mips", blobOf("mips", ocispec.MediaTypeImageManifest)), on(here, desc), on("unknown/unknown", blobOf("attestation", ocispec.MediaTypeImageManifest)))
			return index, []digest.Digest{index.Digest, desc.Digest, digest.FromString("config"), layer.Digest}
		},
		"the better of two": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer)
			index := s.index(t, on(poorer, s.image(t, other)), on(here, desc))
			return index, []digest.Digest{index.Digest, desc.Digest, digest.FromString("config"), layer.Digest}
		},
		"an index of two for this platform": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			one, two := s.image(t, layer), s.image(t, other)
			index := s.index(t, on(here, one), on(here, two))
			return index, []digest.Digest{index.Digest, one.Digest, two.Digest, digest.FromString("config"), layer.Digest, other.Digest}
		},
		"one that runs here, too": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer)
			index := s.index(t, on(poorer, desc), on("plan9/mips", s.image(t, other)))
			if !platforms.Default().Match(platforms.MustParse(poorer)) {
				return index, nil // not on this machine
			}
			return index, []digest.Digest{index.Digest, desc.Digest, digest.FromString("config"), layer.Digest}
		},
		"an index of too many": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			var manifests []ocispec.Descriptor
			for i := range maxManifests + 1 {
				manifests = append(manifests, on(here, s.image(t, blobOf(strconv.Itoa(i), ocispec.MediaTypeImageLayerGzip))))
			}
			return s.index(t, manifests...), nil
		},
		"one too often": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.index(t, slices.Repeat([]ocispec.Descriptor{on(here, s.image(t, layer))}, maxManifests+1)...), nil
		},
		"an index of none": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.index(t, on("plan9/mips", s.image(t, layer))), nil
		},
		"an empty index": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.index(t), nil
		},
		"one without a platform": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer)
			index := s.index(t, desc)
			return index, []digest.Digest{index.Digest, desc.Digest, digest.FromString("config"), layer.Digest}
		},
		"another without a platform": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			one, two := s.image(t, layer), s.image(t, other)
			index := s.index(t, on(here, one), two)
			return index, []digest.Digest{index.Digest, one.Digest, two.Digest, digest.FromString("config"), layer.Digest, other.Digest}
		},
		"an index in an index": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.index(t, on(here, s.index(t, on(here, s.image(t, layer))))), nil
		},
		"an index of what is not plain": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.index(t, on(here, s.image(t, blobOf("wasm", "application/wasm")))), nil
		},
		"no layers": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) { t.Helper(); return s.image(t), nil },
		"an old configuration": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.putJSON(t, images.MediaTypeDockerSchema2Manifest, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, Config: blobOf("config", "application/octet-stream"), Layers: []ocispec.Descriptor{layer},
			}), nil
		},
		"another kind of configuration": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, Config: blobOf("config", "application/vnd.cncf.helm.config.v1+json"), Layers: []ocispec.Descriptor{layer},
			}), nil
		},
		"a configuration that is not read at once": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			config := blobOf("config", ocispec.MediaTypeImageConfig)
			config.Size = maxImageConfig + 1
			return s.putJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
				Versioned: specs.Versioned{SchemaVersion: 2}, Config: config, Layers: []ocispec.Descriptor{layer},
			}), nil
		},
		"an artifact": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.put(manifest.MediaTypeArtifact, []byte(`{"mediaType":"`+manifest.MediaTypeArtifact+`","artifactType":"a/b","blobs":[]}`)), nil
		},
		"schema 1": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			return s.put(images.MediaTypeDockerSchema1Manifest, []byte(`{"schemaVersion":1,"name":"a","fsLayers":[]}`)), nil
		},
		"an image that was announced as another kind": func(t *testing.T, s shelf) (ocispec.Descriptor, []digest.Digest) {
			t.Helper()
			desc := s.image(t, layer)
			desc.MediaType = "application/json"
			return desc, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shelf{}
			desc, want := build(t, s)
			o, err := plainImage(t.Context(), func() {}, from(s), desc)
			must(t, err)
			if o == nil {
				if want != nil {
					t.Error("it is not offered")
				}
				return
			}
			got := slices.Concat(slices.Collect(maps.Keys(o.documents)), slices.Collect(maps.Keys(o.blobs)))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("offers %v, want %v", got, want)
			}
			if p := platforms.Format(o.platform); p != platforms.Format(platforms.DefaultSpec()) && p != here && (p != poorer || name != "one that runs here, too") {
				t.Errorf("for %s", p)
			}
		})
	}
}

// TestPlainLayer: layers that are on other servers, must stay there, or are unpacked
// otherwise, are not plain.
func TestPlainLayer(t *testing.T) {
	t.Parallel()
	for mediaType, plain := range map[string]bool{
		ocispec.MediaTypeImageLayer:                                       true,
		ocispec.MediaTypeImageLayerGzip:                                   true,
		ocispec.MediaTypeImageLayerZstd:                                   true,
		images.MediaTypeDockerSchema2Layer:                                true,
		images.MediaTypeDockerSchema2LayerGzip:                            true,
		images.MediaTypeDockerSchema2LayerZstd:                            true,
		images.MediaTypeDockerSchema2LayerForeign:                         false,
		images.MediaTypeDockerSchema2LayerForeignGzip:                     false,
		"application/vnd.oci.image.layer.nondistributable.v1.tar":         false,
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip":    false,
		ocispec.MediaTypeImageLayer + "+encrypted":                        false,
		ocispec.MediaTypeImageLayerGzip + "+encrypted":                    false,
		images.MediaTypeDockerSchema2LayerGzip + "+encrypted":             false,
		"application/vnd.in-toto+json":                                    false,
		"application/vnd.cncf.helm.chart.content.v1.tar+gzip":             false,
		"application/octet-stream":                                        false,
		"application/vnd.docker.image.rootfs.diff.tar.gzip; charset=utf8": false,
	} {
		if got := plainLayer(blobOf("layer", mediaType)); got != plain {
			t.Errorf("%s: plain is %t", mediaType, got)
		}
	}
	withURL := blobOf("layer", ocispec.MediaTypeImageLayerGzip)
	withURL.URLs = []string{"https://elsewhere.test/layer"}
	if plainLayer(withURL) {
		t.Error("a layer from elsewhere is plain")
	}
}

// TestManifestsThatAreNone of what they should be make the pull fail.
func TestManifestsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		open func(context.Context) (io.ReadCloser, error)
		says string
	}{
		"another one": {holding([]byte(`{"schemaVersion":2,"manifests":[]}`)), "registry.test/app:1: the manifest DIGEST has the digest " + digest.FromString(`{"schemaVersion":2,"manifests":[]}`).String()},
		"too large":   {holding(bytes.Repeat([]byte(" "), manifest.MaxSize+9)), "registry.test/app:1: the manifest DIGEST has the digest "},
		"a part":      {then([]byte("{"), errors.New("cut")), "cut"},
		"nothing":     {func(context.Context) (io.ReadCloser, error) { return nil, errors.New("no such manifest") }, "no such manifest"},
		"a page":      {holding([]byte("<html>")), "registry.test/app:1: the manifest DIGEST: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shelf{}
			desc := blobOf("wanted", ocispec.MediaTypeImageManifest)
			if name == "a page" {
				desc.Digest = digest.FromString("<html>")
			}
			wanted := desc.Digest
			s[wanted] = tt.open
			for _, desc := range []ocispec.Descriptor{desc, s.index(t, on(here, desc))} {
				o, err := plainImage(t.Context(), func() {}, from(s), desc)
				if err == nil || o != nil || !strings.Contains(err.Error(), strings.ReplaceAll(tt.says, "DIGEST", wanted.String())) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}
