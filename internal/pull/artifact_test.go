package pull_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/pull"
)

// shelf serves manifests and blobs, each where it belongs.
type shelf struct {
	manifests, blobs map[string][]byte
	types            map[string]string
}

func newShelf() *shelf {
	return &shelf{map[string][]byte{}, map[string][]byte{}, map[string]string{}}
}

// ServeHTTP implements http.Handler.
func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, manifest, _ := strings.Cut(r.URL.Path, "/manifests/")
	_, blob, _ := strings.Cut(r.URL.Path, "/blobs/")
	if body, there := s.manifests[manifest]; there {
		w.Header().Set("Content-Type", s.types[manifest])
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
		_, _ = w.Write(body)
	} else if body, there := s.blobs[blob]; there {
		_, _ = w.Write(body)
	} else {
		http.NotFound(w, r)
	}
}

func (s *shelf) blob(mediaType, data string) ocispec.Descriptor {
	d := digest.FromString(data)
	s.blobs[d.String()] = []byte(data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (s *shelf) manifest(t *testing.T, tag, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(doc)
	check(t, err)
	d := digest.FromBytes(body)
	for _, name := range []string{tag, d.String()} {
		if name != "" {
			s.manifests[name], s.types[name] = body, mediaType
		}
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
}

// TestArtifacts: a layer that is a manifest as a file, one of nothing, and the
// manifest that OCI once had for artifacts.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	const artifact = "application/vnd.oci.artifact.manifest.v1+json"
	s := newShelf()
	config := s.blob(ocispec.MediaTypeEmptyJSON, "{}")
	inner, err := json.Marshal(ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{}})
	check(t, err)
	s.manifest(t, "bundle", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: []ocispec.Descriptor{s.blob(ocispec.MediaTypeImageManifest, string(inner)), s.blob("text/plain", "")},
	})
	sbom := s.blob("text/plain", "sbom")
	s.manifest(t, "artifact", artifact, map[string]any{"mediaType": artifact, "blobs": []ocispec.Descriptor{sbom}})
	r := newRegistry(t, s)
	dir := filepath.Join(t.TempDir(), "o")
	for _, tag := range []string{"bundle", "artifact"} {
		_, err := pull.ToLayout(t.Context(), r.request(t, "app:"+tag), dir)
		check(t, err)
	}
	for d, want := range s.blobs {
		got, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", digest.Digest(d).Encoded()))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v", d, got, err)
		}
	}
}

// TestAttestationsFollowTheirImage: what becomes of a manifest has another
// digest, and what refers to it names that one.
func TestAttestationsFollowTheirImage(t *testing.T) {
	t.Parallel()
	s := newShelf()
	image := s.manifest(t, "", images.MediaTypeDockerSchema2Manifest, ocispec.Manifest{
		MediaType: images.MediaTypeDockerSchema2Manifest, Config: s.blob(images.MediaTypeDockerSchema2Config, `{"os":"linux"}`), Layers: []ocispec.Descriptor{},
	})
	attestation := s.manifest(t, "", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, Config: s.blob(ocispec.MediaTypeImageConfig, "{}"),
		Layers: []ocispec.Descriptor{s.blob("application/vnd.in-toto+json", "{} ")}, Subject: &image,
		Annotations: map[string]string{"of": image.Digest.String(), "by": "hand"},
	})
	attestation.Annotations = map[string]string{"vnd.docker.reference.digest": image.Digest.String(), "vnd.docker.reference.type": "attestation-manifest"}
	s.manifest(t, "1", ocispec.MediaTypeImageIndex, ocispec.Index{
		MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{image, attestation},
	})
	r := newRegistry(t, s)
	req := r.request(t, "app:1")
	req.Platforms.All = true
	dir := filepath.Join(t.TempDir(), "o")
	res, err := pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	complete(t, dir, res.Target)
	var index ocispec.Index
	readBlob(t, dir, res.Target.Digest, &index)
	got := index.Manifests[1]
	var m ocispec.Manifest
	readBlob(t, dir, got.Digest, &m)
	now := index.Manifests[0]
	if now.Digest == image.Digest || got.Annotations["vnd.docker.reference.digest"] != now.Digest.String() ||
		m.Annotations["of"] != now.Digest.String() || m.Annotations["by"] != "hand" || m.Subject == nil || m.Subject.Digest != now.Digest || m.Subject.Size != now.Size || m.Subject.MediaType != now.MediaType {
		t.Errorf("the image is %s, the attestation has %v and the subject %v", now.Digest, got.Annotations, m.Subject)
	}
}

func readBlob(t *testing.T, dir string, d digest.Digest, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", d.Encoded()))
	check(t, err)
	check(t, json.Unmarshal(data, into))
}
