package manifest

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	sum    = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + sum + `","size":0}`
	layer  = `{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"` + sum + `","size":0}`
	entry  = `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"` + sum + `","size":7}`
)

// TestParse is about what is in the document, whatever it was announced as.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, body, announced string
		want                  string
		kind                  Kind
	}{
		{"OCI image", `{"schemaVersion":2,` + config + `,"layers":[` + layer + `]}`, "application/octet-stream", ocispec.MediaTypeImageManifest, Image},
		{"announced as Docker's", `{"schemaVersion":2,` + config + `,"layers":[]}`, images.MediaTypeDockerSchema2Manifest + "; charset=utf-8", images.MediaTypeDockerSchema2Manifest, Image},
		{"Docker's by its configuration", `{"schemaVersion":2,` + strings.Replace(config, "oci.image.config.v1", "docker.container.image.v1", 1) + `,"layers":[]}`, "text/plain", images.MediaTypeDockerSchema2Manifest, Image},
		{"announced as an index", `{"schemaVersion":2,` + config + `,"layers":[]}`, ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, Image},
		{"index", `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` + entry + `]}`, "", ocispec.MediaTypeImageIndex, Index},
		{"list by its entries", `{"schemaVersion":2,"manifests":[` + entry + `]}`, "application/json", images.MediaTypeDockerSchema2ManifestList, Index},
		{"empty index", `{"schemaVersion":2,"manifests":[]}`, "", ocispec.MediaTypeImageIndex, Index},
		{"artifact", `{"mediaType":"` + MediaTypeArtifact + `","artifactType":"a/b","blobs":[` + layer + `]}`, "", MediaTypeArtifact, Artifact},
		{"schema 1", `{"schemaVersion":1,"name":"a","fsLayers":[]}`, "troff", MediaTypeSchema1, Schema1},
		{"signed", `{"schemaVersion":1,"name":"a","fsLayers":[],"signatures":[]}`, MediaTypeSchema1, MediaTypeSchema1Signed, Schema1},
	} {
		m, err := Parse([]byte(test.body), test.announced)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if m.MediaType != test.want || m.Kind != test.kind {
			t.Errorf("%s: %s, %s; want %s", test.name, m.MediaType, m.Kind, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, announced, want string }{
		{"page", "<html>Sign in</html>", ocispec.MediaTypeImageManifest, "not valid JSON"},
		{"nothing", "", ocispec.MediaTypeImageManifest, "not valid JSON"},
		{"other JSON", `{"errors":[]}`, ocispec.MediaTypeImageManifest, "it is JSON, but not a manifest"},
		{"null", `null`, ocispec.MediaTypeImageIndex, "it is JSON, but not a manifest"},
		{"list", `[]`, ocispec.MediaTypeImageIndex, "a list where an object belongs"},
		{"two kinds", `{"schemaVersion":2,` + config + `,"layers":[],"manifests":[]}`, "", "at once"},
		{"two kinds in another case", `{"schemaVersion":2,"manifests":[],"Layers":[]}`, "", "at once"},
		{"calls itself another", `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `",` + config + `}`, "", "calls itself an index"},
		{"unknown type", `{"schemaVersion":2,"mediaType":"application/x",` + config + `}`, "", "not the media type of a manifest"},
		{"version", `{"schemaVersion":3,"manifests":[]}`, "", "schemaVersion 3"},
		{"no configuration", `{"schemaVersion":2,"layers":[]}`, "", "no configuration"},
		{"digest", `{"schemaVersion":2,` + strings.Replace(config, "e3b0", "../0", 1) + `}`, "", "its config: digest"},
		{"no digest", `{"schemaVersion":2,` + strings.Replace(config, sum, "", 1) + `}`, "", "its config: it has no digest"},
		{"size", `{"schemaVersion":2,` + config + `,"layers":[` + strings.Replace(layer, `"size":0`, `"size":-1`, 1) + `]}`, "", "its layers[0]: "},
		{"media type", `{"schemaVersion":2,"manifests":[` + entry + `,` + strings.Replace(entry, "/", "", 1) + `]}`, "", "its manifests[1]: "},
		{"number", `{"schemaVersion":2,"layers":3}`, "", "its layers is a number"},
		{"parts of nothing", `{"schemaVersion":2,"manifests":[{}` + strings.Repeat(",{}", 1<<20) + `]}`, "", "more parts"},
		{"nothing, often", `{"schemaVersion":2,"layers":[null` + strings.Repeat(",null", 1<<19) + `]}`, "", "more parts"},
		{"large", `{"schemaVersion":2,"manifests":[]}` + strings.Repeat(" ", MaxSize), "", "more than"},
	} {
		m, err := Parse([]byte(test.body), test.announced)
		switch {
		case err == nil:
			t.Errorf("%s: taken for %s", test.name, m.MediaType)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: %v; want %q", test.name, err, test.want)
		case strings.Contains(err.Error(), "Go struct"):
			t.Errorf("%s: Go's names in %v", test.name, err)
		}
	}
}

// FuzzParse holds what is taken to what is promised about it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,`+config+`,"layers":[`+layer+`]}`), ocispec.MediaTypeImageManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[`+entry+`]}`), "")
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, announced string) {
		m, err := Parse(body, announced)
		if err != nil {
			return
		}
		if KindOf(m.MediaType) != m.Kind || m.Kind == 0 {
			t.Errorf("%s is called %s", m.Kind, m.MediaType)
		}
		for _, d := range append(m.Blobs, m.Manifests...) {
			if Sound(d) != nil {
				t.Errorf("%v was taken", d)
			}
		}
	})
}
