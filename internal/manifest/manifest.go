// Package manifest decides whether a document is a manifest, and of which kind.
// Everything that is pulled, copied or served as a manifest passes through [Parse].
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// MaxSize bounds manifests in bytes, as registries and containerd do.
const MaxSize = 4 << 20

// Media types that core/images does not name.
const (
	MediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	MediaTypeSchema1Signed = images.MediaTypeDockerSchema1Manifest
	// MediaTypeArtifact is from a draft of the OCI specification, MediaTypeORAS from
	// the project that preceded it. Registries still hold both.
	MediaTypeArtifact = "application/vnd.oci.artifact.manifest.v1+json"
	MediaTypeORAS     = "application/vnd.cncf.oras.artifact.manifest.v1+json"
)

// Kind is a kind of manifest.
type Kind int

// The kinds of manifests. The zero value means not a manifest.
const (
	// Image has a configuration and layers.
	Image Kind = iota + 1
	// Index lists other manifests.
	Index
	// Artifact has blobs and no configuration.
	Artifact
	// Schema1 has the history of Registry v1.
	Schema1
)

func (k Kind) String() string {
	return map[Kind]string{Image: "an image manifest", Index: "an index", Artifact: "an artifact manifest", Schema1: "a schema 1 manifest"}[k]
}

// kinds maps the media types of manifests to their kinds.
var kinds = map[string]Kind{
	ocispec.MediaTypeImageManifest:            Image,
	images.MediaTypeDockerSchema2Manifest:     Image,
	ocispec.MediaTypeImageIndex:               Index,
	images.MediaTypeDockerSchema2ManifestList: Index,
	MediaTypeArtifact:                         Artifact,
	MediaTypeORAS:                             Artifact,
	MediaTypeSchema1:                          Schema1,
	MediaTypeSchema1Signed:                    Schema1,
}

// KindOf returns the kind for a media type, zero if it is not a manifest's.
func KindOf(mediaType string) Kind { return kinds[Base(mediaType)] }

// Base returns a media type, such as a Content-Type, without its parameters.
func Base(mediaType string) string {
	base, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(base))
}

// Manifest is a parsed manifest.
type Manifest struct {
	Kind Kind
	// MediaType is the announced media type if it fits the kind, else the one in the
	// document, else one derived from its parts.
	MediaType string
	// Config and Blobs are blobs whatever their media types; Config is nil if absent.
	// Schema 1 has neither, only digests.
	Config *ocispec.Descriptor
	Blobs  []ocispec.Descriptor
	// Manifests are the entries of an index.
	Manifests []ocispec.Descriptor
}

// document has the keys of all kinds. Readers such as encoding/json accept keys in any
// case: a document that is two kinds to one reader must not pass as one kind here.
type document struct {
	SchemaVersion *int                  `json:"schemaVersion"`
	MediaType     string                `json:"mediaType"`
	Config        *ocispec.Descriptor   `json:"config"`
	Layers        *[]ocispec.Descriptor `json:"layers"`
	Manifests     *[]ocispec.Descriptor `json:"manifests"`
	Blobs         *[]ocispec.Descriptor `json:"blobs"`
	Subject       *ocispec.Descriptor   `json:"subject"`
	FSLayers      json.RawMessage       `json:"fsLayers"`
	Signatures    json.RawMessage       `json:"signatures"`
}

// Parse parses a manifest that was announced with a media type, which may be empty or a
// file server's: the content decides. Each descriptor in the result has a digest of a
// supported algorithm, a size and a media type.
func Parse(body []byte, announced string) (*Manifest, error) {
	if len(body) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than the %d of the largest manifest", len(body), MaxSize)
	}
	if err := Countable(body); err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, jsonwords.Of(err)
	}
	kind, err := doc.kind(announced)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Kind: kind, MediaType: doc.name(kind, announced)}
	if kind == Schema1 {
		return m, nil
	}
	if v := doc.SchemaVersion; v != nil && *v != 2 && *v != 0 {
		return nil, fmt.Errorf("it is %s with the schemaVersion %d, which is unknown", kind, *v)
	}
	m.Config, m.Blobs, m.Manifests = doc.Config, each(doc.Layers, doc.Blobs), each(doc.Manifests)
	return m, m.check(doc.Subject)
}

// maxParts is how many commas a manifest may have. The largest meaningful one has half
// as many: a descriptor takes a hundred bytes.
const maxParts = 1 << 18

// Countable returns an error if a document has too many parts for its descriptors to be
// held in memory: "{}," has three bytes, but an empty descriptor takes more than a
// hundred.
func Countable(body []byte) error {
	if n := bytes.Count(body, []byte(",")); n > maxParts {
		return fmt.Errorf("it has %d parts, more parts than the %d of the largest manifest", n, maxParts)
	}
	return nil
}

// kind returns the kind of the document by its keys, which must not mix kinds.
func (d *document) kind(announced string) (Kind, error) {
	var found []Kind
	if d.Config != nil || d.Layers != nil {
		found = append(found, Image)
	}
	if d.Manifests != nil {
		found = append(found, Index)
	}
	if d.Blobs != nil {
		found = append(found, Artifact)
	}
	if d.FSLayers != nil || d.SchemaVersion != nil && *d.SchemaVersion == 1 {
		found = append(found, Schema1)
	}
	said := KindOf(d.MediaType)
	if said == 0 && d.MediaType == "" {
		said = KindOf(announced)
	}
	switch {
	case d.MediaType != "" && said == 0:
		return 0, fmt.Errorf("it calls itself %.100q, which is not the media type of a manifest", d.MediaType)
	case len(found) > 1:
		return 0, fmt.Errorf("it is %s and %s at once", found[0], found[1])
	case len(found) == 0 && (said == Index || said == Artifact) && d.SchemaVersion != nil:
		return said, nil // of nothing
	case len(found) == 0:
		return 0, errors.New("it is JSON, but not a manifest")
	case KindOf(d.MediaType) != 0 && KindOf(d.MediaType) != found[0]:
		return 0, fmt.Errorf("it calls itself %s, but is %s", said, found[0])
	case found[0] == Image && d.Config == nil:
		return 0, errors.New("it has layers but no configuration")
	}
	return found[0], nil
}

// name returns the media type for a document of a kind.
func (d *document) name(kind Kind, announced string) string {
	if announced = Base(announced); kinds[announced] == kind && kind != Schema1 {
		return announced
	}
	if own := Base(d.MediaType); kinds[own] == kind && kind != Schema1 {
		return own
	}
	switch kind {
	case Schema1:
		if d.Signatures == nil {
			return MediaTypeSchema1
		}
		return MediaTypeSchema1Signed
	case Artifact:
		return MediaTypeArtifact
	case Index:
		if docker := func(m ocispec.Descriptor) bool { return m.MediaType == images.MediaTypeDockerSchema2Manifest }; d.Manifests != nil && slices.ContainsFunc(*d.Manifests, docker) {
			return images.MediaTypeDockerSchema2ManifestList
		}
		return ocispec.MediaTypeImageIndex
	}
	if d.Config.MediaType == images.MediaTypeDockerSchema2Config {
		return images.MediaTypeDockerSchema2Manifest
	}
	return ocispec.MediaTypeImageManifest
}

func each(lists ...*[]ocispec.Descriptor) (all []ocispec.Descriptor) {
	for _, list := range lists {
		if list != nil {
			all = append(all, *list...)
		}
	}
	return all
}

func (m *Manifest) check(subject *ocispec.Descriptor) error {
	one := func(what string, d *ocispec.Descriptor) error {
		if d == nil {
			return nil
		}
		if err := Sound(*d); err != nil {
			return fmt.Errorf("its %s: %w", what, err)
		}
		return nil
	}
	errs := []error{one("config", m.Config), one("subject", subject)}
	for what, list := range map[string][]ocispec.Descriptor{"layers": m.Blobs, "manifests": m.Manifests} {
		for i := range list {
			errs = append(errs, one(fmt.Sprintf("%s[%d]", what, i), &list[i]))
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Sound returns an error if a descriptor cannot be used.
func Sound(d ocispec.Descriptor) error {
	if d.Digest == "" {
		return errors.New("it has no digest")
	}
	if err := d.Digest.Validate(); err != nil {
		if errors.Is(err, digest.ErrDigestUnsupported) {
			return fmt.Errorf("digest %.100q: its algorithm is not supported", d.Digest)
		}
		return fmt.Errorf("digest %.100q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%s has a size of %d", d.Digest, d.Size)
	}
	if t, _, err := mime.ParseMediaType(d.MediaType); err != nil || !strings.Contains(t, "/") {
		return fmt.Errorf("%s has %.100q for a media type", d.Digest, d.MediaType)
	}
	return nil
}
