package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// Name is an image's name in a layout.
type Name struct {
	// Tag is its org.opencontainers.image.ref.name, by which other programs select
	// it: oci:DIR:TAG. It may be empty.
	Tag string
	// Image is the full reference. It becomes the annotation
	// io.containerd.image.name, which containerd reads and writes.
	Image string
	// Repository is the reference without tag and digest. One tag holds images of
	// only one repository.
	Repository string
}

// index is an index.json that preserves unknown fields.
type index struct {
	fields    map[string]json.RawMessage
	manifests []json.RawMessage
}

// entry is the relevant part of a descriptor.
type entry struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

func (e entry) tag() string   { return e.Annotations[ocispec.AnnotationRefName] }
func (e entry) image() string { return e.Annotations[images.AnnotationImageName] }

// Check returns an error if an image cannot be added under this name, because its tag
// belongs to another repository's image: oci:DIR:TAG must be unambiguous.
func (l *Layout) Check(n Name) error {
	idx, err := l.index()
	if err != nil || n.Tag == "" {
		return err
	}
	for _, raw := range idx.manifests {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return l.unusable(fmt.Errorf("%s: %w", ocispec.ImageIndexFile, jsonwords.Of(err)))
		}
		if e.tag() == n.Tag && e.image() != "" && !belongs(e.image(), n.Repository) {
			return l.unusable(fmt.Errorf("has %s under the tag %q already: name another directory for %s", e.image(), n.Tag, n.Repository))
		}
	}
	return nil
}

// belongs reports whether a reference is to an image of the repository.
func belongs(ref, repository string) bool {
	rest, ok := strings.CutPrefix(ref, repository)
	return ok && (rest == "" || rest[0] == ':' || rest[0] == '@')
}

// Add adds an image to the index, in place of the one with its tag, and removes what
// is left of the pull. The store must hold the whole image.
func (l *Layout) Add(ctx context.Context, desc ocispec.Descriptor, n Name) error {
	if err := l.Check(n); err != nil {
		return err
	}
	idx, err := l.index()
	if err != nil {
		return err
	}
	if err := idx.add(desc, n); err != nil {
		return err
	}
	data, err := idx.marshal()
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(l.dir, ocispec.ImageIndexFile), data); err != nil {
		return fmt.Errorf("%s: %w", l.dir, err)
	}
	l.sweep(ctx)
	return nil
}

// index reads index.json; a missing one counts as empty.
func (l *Layout) index() (*index, error) {
	idx := &index{fields: map[string]json.RawMessage{}}
	f, err := os.Open(filepath.Join(l.dir, ocispec.ImageIndexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return idx, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readBounded(f)
	if err == nil {
		err = idx.unmarshal(data)
	}
	if err != nil {
		return nil, l.unusable(fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err))
	}
	return idx, nil
}

func (x *index) unmarshal(data []byte) error {
	if err := json.Unmarshal(data, &x.fields); err != nil {
		return jsonwords.Of(err)
	}
	if x.fields == nil {
		return errors.New("is not an object")
	}
	if m, ok := x.fields["manifests"]; ok {
		return jsonwords.Of(json.Unmarshal(m, &x.manifests))
	}
	return nil
}

func (x *index) marshal() ([]byte, error) {
	manifests, err := json.Marshal(x.manifests)
	if err != nil {
		return nil, err
	}
	x.fields["schemaVersion"] = json.RawMessage("2")
	x.fields["manifests"] = manifests
	if _, ok := x.fields["mediaType"]; !ok {
		x.fields["mediaType"] = json.RawMessage(`"` + ocispec.MediaTypeImageIndex + `"`)
	}
	data, err := json.MarshalIndent(x.fields, "", "  ")
	return append(data, '\n'), err
}

// add appends an entry and removes the one it replaces: that with its tag, or,
// without a tag, that with its digest.
func (x *index) add(desc ocispec.Descriptor, n Name) error {
	desc = ocispec.Descriptor{
		MediaType: desc.MediaType, ArtifactType: desc.ArtifactType,
		Digest: desc.Digest, Size: desc.Size, Platform: desc.Platform,
		Annotations: map[string]string{images.AnnotationImageName: n.Image},
	}
	if n.Tag != "" {
		desc.Annotations[ocispec.AnnotationRefName] = n.Tag
	}
	raw, err := json.Marshal(desc)
	if err != nil {
		return err
	}
	kept := make([]json.RawMessage, 0, len(x.manifests)+1)
	for _, m := range x.manifests {
		var e entry
		if err := json.Unmarshal(m, &e); err != nil {
			return jsonwords.Of(err)
		}
		same := e.tag() == n.Tag && (n.Tag != "" || e.Digest == desc.Digest.String())
		if !same {
			kept = append(kept, m)
		}
	}
	x.manifests = append(kept, raw)
	return nil
}
