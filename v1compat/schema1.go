package v1compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// Media types of schema 1 manifests. Registries also serve them as plain
// application/json.
const (
	MediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

// maxSchema1 bounds a manifest in bytes: 8 MiB, as for JSONs of the v1
// protocol.
const maxSchema1 = 8 << 20

// maxSteps bounds the history. Docker's own limit was 127 layers, not counting steps
// without one.
const maxSteps = 1024

// Schema1 is a schema 1 manifest: the history of the v1 protocol in one
// document of a v2 registry, signed or not.
type Schema1 struct {
	// Name and Tag are the manifest's own. Mirrors do not rewrite them.
	Name, Tag string
	// Architecture is the manifest's; the newest JSON's takes precedence.
	Architecture string
	// Digest is the digest of the payload, the manifest without its signatures.
	Digest digest.Digest
	// Signed reports whether there was a signature, which was then verified. The key
	// is in the manifest, so it proves nothing about the author.
	Signed bool
	// Layers are the history, base first.
	Layers []Schema1Layer
}

// Schema1Layer is one step of a schema 1 manifest's history.
type Schema1Layer struct {
	// Blob is the digest of the layer as stored in the registry.
	Blob digest.Digest
	// JSON is the v1 image JSON.
	JSON []byte
	// Throwaway reports whether the step has no content; its blob is a stand-in then.
	Throwaway bool
}

// ParseSchema1 parses a schema 1 manifest, signed or unsigned. If want is set (the
// digest requested, or the registry's Docker-Content-Digest), either the payload or
// the whole document must match it. Signatures, if any, must be valid. Errors are
// [UnusableError].
func ParseSchema1(body []byte, want digest.Digest) (*Schema1, error) {
	m, err := parseSchema1(body, want)
	if err != nil {
		return nil, &UnusableError{fmt.Errorf("schema 1 manifest: %w", err)}
	}
	return m, nil
}

// schema1Document is the payload.
type schema1Document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Name          string          `json:"name"`
	Tag           string          `json:"tag"`
	Architecture  string          `json:"architecture"`
	FSLayers      []schema1Blob   `json:"fsLayers"`
	History       []schema1Compat `json:"history"`
	// Keys of other manifests: a document that is two kinds of manifest at once may
	// be read as either, depending on the client (CVE-2021-41190).
	Config    json.RawMessage `json:"config"`
	Layers    json.RawMessage `json:"layers"`
	Manifests json.RawMessage `json:"manifests"`
}

type schema1Blob struct {
	BlobSum digest.Digest `json:"blobSum"`
}

type schema1Compat struct {
	V1Compatibility string `json:"v1Compatibility"`
}

func parseSchema1(body []byte, want digest.Digest) (*Schema1, error) {
	if len(body) > maxSchema1 {
		return nil, fmt.Errorf("%d bytes are more than the limit of %d", len(body), maxSchema1)
	}
	payload, signed, err := openSchema1(body)
	if err != nil {
		return nil, err
	}
	if err := matches(want, payload, body); err != nil {
		return nil, err
	}
	var doc schema1Document
	if err := json.Unmarshal(payload, &doc); err != nil {
		return nil, fmt.Errorf("payload: %w", jsonwords.Of(err))
	}
	m := &Schema1{
		Name: doc.Name, Tag: doc.Tag, Architecture: doc.Architecture,
		Digest: digest.FromBytes(payload), Signed: signed,
	}
	m.Layers, err = doc.layers()
	return m, err
}

// matches fails unless a body has the digest wanted. Distribution's is over the
// payload; some registries use the whole document.
func matches(want digest.Digest, bodies ...[]byte) error {
	if want == "" {
		return nil
	}
	if err := want.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", clip(string(want)), err)
	}
	for _, body := range bodies {
		if want.Algorithm().FromBytes(body) == want {
			return nil
		}
	}
	return fmt.Errorf("it has the digest %s, not %s", want.Algorithm().FromBytes(bodies[0]), want)
}

// layers checks the history and reverses it: the manifest begins with the newest
// step.
func (d *schema1Document) layers() ([]Schema1Layer, error) {
	switch {
	case d.SchemaVersion != 1:
		return nil, fmt.Errorf("schemaVersion is %d", d.SchemaVersion)
	case d.Config != nil || d.Layers != nil || d.Manifests != nil:
		return nil, errors.New("it has keys of another kind of manifest")
	case len(d.FSLayers) != len(d.History):
		return nil, fmt.Errorf("it has %d layers, but a history of %d", len(d.FSLayers), len(d.History))
	case len(d.History) > maxSteps:
		return nil, fmt.Errorf("it has a history of %d steps, more than %d", len(d.History), maxSteps)
	case len(d.History) == 0:
		return nil, errors.New("it has no history")
	}
	var layers []Schema1Layer
	var ids []schema1IDs
	for i, h := range slices.Backward(d.History) {
		l := Schema1Layer{Blob: d.FSLayers[i].BlobSum, JSON: []byte(h.V1Compatibility)}
		if err := l.Blob.Validate(); err != nil {
			return nil, fmt.Errorf("fsLayers[%d]: %q: %w", i, clip(string(l.Blob)), err)
		}
		var id schema1IDs
		if err := json.Unmarshal(l.JSON, &id); err != nil {
			return nil, fmt.Errorf("history[%d]: %w", i, jsonwords.Of(err))
		}
		l.Throwaway = id.Throwaway
		// Docker once pushed images with a step twice in a row.
		if n := len(ids); n > 0 && id.ID != "" && ids[n-1].ID == id.ID && layers[n-1].Blob == l.Blob {
			continue
		}
		layers, ids = append(layers, l), append(ids, id)
	}
	return layers, checkIDs(ids)
}

// schema1IDs holds the ids in a v1 image JSON. They name images, not layers.
type schema1IDs struct {
	ID        string `json:"id"`
	Parent    string `json:"parent"`
	Throwaway bool   `json:"throwaway"`
}

// checkIDs checks that each step is based on the one before, as Docker did.
func checkIDs(ids []schema1IDs) error {
	seen := map[string]bool{}
	for i, id := range ids {
		parent := ""
		if i > 0 {
			parent = ids[i-1].ID
		}
		if id.ID != "" {
			if err := validID(id.ID); err != nil {
				return err
			}
			if seen[id.ID] {
				return fmt.Errorf("the history has %s twice", id.ID)
			}
			seen[id.ID] = true
		}
		if id.Parent != "" && id.Parent != parent {
			return fmt.Errorf("the history has the parent %q after %q", clip(id.Parent), parent)
		}
	}
	return nil
}

// CheckName compares the manifest's name and tag with those requested. A difference
// is worth only a warning: mirrors keep the original's name.
func (m *Schema1) CheckName(repository, tag string) error {
	if m.Name != "" && repository != "" && m.Name != repository {
		return fmt.Errorf("the schema 1 manifest of %s calls itself %q", repository, clip(m.Name))
	}
	if m.Tag != "" && tag != "" && m.Tag != tag {
		return fmt.Errorf("the schema 1 manifest of %s:%s has the tag %q", repository, tag, clip(m.Tag))
	}
	return nil
}

// Image returns the manifest's image. open requests a layer by its digest from an
// offset on, as [Entry.Open] describes.
func (m *Schema1) Image(registry, repository string, open func(ctx context.Context, dgst digest.Digest, offset int64) (*LayerStream, error)) *Image {
	img := &Image{Registry: registry, Repository: repository, Architecture: m.Architecture}
	for _, l := range m.Layers {
		img.Entries = append(img.Entries, Entry{
			ID: l.Blob.String(), JSON: l.JSON, Throwaway: l.Throwaway, Digest: l.Blob, Size: -1,
			Open: func(ctx context.Context, offset int64) (*LayerStream, error) { return open(ctx, l.Blob, offset) },
		})
	}
	return img
}
