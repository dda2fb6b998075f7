package imagecopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// check validates a descriptor before anything is requested with it.
func check(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%.80q: %w", desc.Digest, err)
	}
	if desc.Size < 0 {
		return fmt.Errorf("%s: a size of %d bytes", desc.Digest, desc.Size)
	}
	return nil
}

// mediaTypeArtifact is the artifact manifest that OCI 1.1 had until its last release
// candidate.
const mediaTypeArtifact = "application/vnd.oci.artifact.manifest.v1+json"

func isManifest(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType) || mediaType == mediaTypeArtifact
}

// isSchema1 reports whether manifests of a type are useful only after conversion.
func isSchema1(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.docker.distribution.manifest.v1+")
}

// child is content that a manifest names and needs.
type child struct {
	ocispec.Descriptor
	// manifest distinguishes it from a blob. That depends on where it is named: a
	// layer may be a manifest as a file.
	manifest bool
}

// childrenOf lists the content that a manifest names and needs: neither its subject,
// nor layers that must not be distributed, which stay at their URLs as with Docker.
func childrenOf(desc ocispec.Descriptor, body []byte) ([]child, error) {
	var doc struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Blobs     []ocispec.Descriptor `json:"blobs"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, &unusableError{fmt.Errorf("%s: not a manifest: %w", desc.Digest, jsonwords.Of(err))}
	}
	var children []child
	switch {
	case images.IsIndexType(desc.MediaType):
		for _, m := range doc.Manifests {
			if isSchema1(m.MediaType) {
				return nil, &unusableError{fmt.Errorf("%s names %s, a schema 1 manifest, which cannot be converted within an index: copy its own tag", desc.Digest, m.Digest)}
			}
			// A BuildKit cache has its layers here.
			children = append(children, child{m, isManifest(m.MediaType)})
		}
	case desc.MediaType == mediaTypeArtifact:
		for _, b := range doc.Blobs {
			children = append(children, child{Descriptor: b})
		}
	case images.IsManifestType(desc.MediaType):
		if doc.Config == nil {
			return nil, &unusableError{fmt.Errorf("%s: the manifest has no configuration", desc.Digest)}
		}
		children = append(children, child{Descriptor: *doc.Config})
		for _, l := range doc.Layers {
			if !images.IsNonDistributable(l.MediaType) || len(l.URLs) == 0 {
				children = append(children, child{Descriptor: l})
			}
		}
	default:
		return nil, &unusableError{fmt.Errorf("%s: a manifest of the type %.80q cannot be copied", desc.Digest, desc.MediaType)}
	}
	if len(children) > maxNodes {
		return nil, &unusableError{fmt.Errorf("%s: names %d others, more than %d", desc.Digest, len(children), maxNodes)}
	}
	for _, c := range children {
		if err := check(c.Descriptor); err != nil {
			return nil, &unusableError{fmt.Errorf("%s names %w", desc.Digest, err)}
		}
	}
	return children, nil
}

// unusableError reports that an image cannot be copied as it is, however often that
// is tried.
type unusableError struct{ error }

// Unwrap returns the cause.
func (e *unusableError) Unwrap() error { return e.error }

// Unusable reports whether an error is about an image that cannot be copied as
// it is, however often that is tried.
func Unusable(err error) bool {
	var m *mismatchError
	return errors.As(err, new(*unusableError)) || errors.As(err, &m) && m.size >= m.desc.Size
}

// chunk is how much of a blob is read at a time, and held back.
const chunk = 128 << 10

// send passes a blob on while it is read. It holds back the last chunk until the
// whole has proved to match the descriptor: otherwise the upload ends before its
// announced size, which no server accepts as complete.
func send(w io.Writer, r io.Reader, desc ocispec.Descriptor, sent func(int64)) error {
	verifier := desc.Digest.Verifier()
	held, next := make([]byte, 0, chunk), make([]byte, chunk)
	var read, written int64
	pass := func() error {
		n, err := w.Write(held)
		if written += int64(n); n > 0 {
			sent(written)
		}
		return err
	}
	for {
		n, err := io.ReadFull(r, next)
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return fmt.Errorf("after %d of %d bytes: %w", read, desc.Size, err)
		}
		read += int64(n)
		if read > desc.Size {
			return &mismatchError{desc: desc, size: read}
		}
		if n > 0 {
			_, _ = verifier.Write(next[:n]) // a hash never fails
			if err := pass(); err != nil {
				return err
			}
			held, next = next[:n], held[:cap(held)]
		}
		if ended {
			break
		}
	}
	if read != desc.Size || !verifier.Verified() {
		return &mismatchError{desc: desc, size: read}
	}
	return pass()
}

// mismatchError reports that content does not match its descriptor.
type mismatchError struct {
	desc ocispec.Descriptor
	// size is the size of the content, as far as it was read.
	size int64
}

// Error implements error.
func (e *mismatchError) Error() string {
	switch {
	case e.size > e.desc.Size:
		return fmt.Sprintf("the source sends more than the %d bytes of %s", e.desc.Size, e.desc.Digest)
	case e.size < e.desc.Size:
		return fmt.Sprintf("the source ends after %d of the %d bytes of %s", e.size, e.desc.Size, e.desc.Digest)
	default:
		return fmt.Sprintf("the source sends other content than %s", e.desc.Digest)
	}
}
