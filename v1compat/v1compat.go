// Package v1compat pulls what current clients no longer can: images from
// registries that only speak the Docker Registry HTTP API v1, and schema 1
// manifests from v2 registries. Both become OCI images in a content store.
//
// [Client] speaks the v1 protocol, [Schema1] reads schema 1 manifests; both
// are front ends that yield an [Image], and one [Converter] turns an Image
// into an OCI manifest. The package is given an *http.Client and knows nothing
// of certificates or directories.
//
// Read client.go first, then session.go, which asks a registry's endpoints for one pull
// (endpoints.go, redirect.go, auth.go), and what it asks for: tags.go,
// ancestry.go by fetch_document.go, layer.go with resume.go and stall.go. schema1.go
// reads the other kind. convert.go begins to turn an Image into a manifest:
// convert_layers.go, with the ingest_*.go that bring a layer into the store
// (ingest_fetch.go first); config.go, from what image_json.go reads; and at the
// end convert_write.go with convert_labels.go.
package v1compat

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
)

// Image is a front end's description of an image: everything but the layers' bytes.
type Image struct {
	// Registry and Repository say where the image came from. They go into
	// labels, ingest references and errors, never into the manifest: the same
	// image has the same digest wherever it was pulled from.
	Registry, Repository string
	// Scheme and Reader complete the [Source].
	Scheme, Reader string
	// Architecture is used if the newest entry's JSON has none (schema 1 has it
	// outside the JSONs).
	Architecture string
	// Entries are the image's history, base first.
	Entries []Entry
}

// Entry is one step of an image's history with the layer it made.
type Entry struct {
	// ID names the layer within its registry and repository: the v1 image id, or the
	// blob's digest for a schema 1 manifest. A v1 id is not a content hash and is
	// never used as one.
	ID string
	// JSON is the v1 image JSON exactly as received.
	JSON []byte
	// Throwaway reports whether the entry has no layer (schema 1 only).
	Throwaway bool
	// Digest is the digest of the layer's bytes where the front end knows it (schema
	// 1); empty for v1.
	Digest digest.Digest
	// Checksums are the checksum headers that came with the JSON (v1 only), as
	// received. A "sha256:<hex>" value covers the JSON, a line feed and the layer.
	Checksums []string
	// Size is the layer's size in bytes as announced by the server, zero or less if
	// unknown. It is only a hint: servers lie.
	Size int64
	// Open requests the layer from the given offset on.
	Open func(ctx context.Context, offset int64) (*LayerStream, error)
	// Measure asks how many bytes Open would return, without requesting them; -1 if
	// the server does not say. As with Size, servers lie. It may be nil.
	Measure func(ctx context.Context) int64
}

// LayerStream is the answer to Entry.Open.
type LayerStream struct {
	io.ReadCloser
	// Start is the offset of the first byte of the stream: the one asked for,
	// or zero if the server starts over.
	Start int64
	// Total is the size of the whole layer, or -1 if the server does not say.
	Total int64
	// Validator identifies the version of the layer (the server's ETag or
	// Last-Modified); empty if there is none.
	Validator string
	// Wrap, if set, adds the stream's source to an error about its content.
	Wrap func(error) error
}

// Progress is one observation of a layer on its way into the store.
type Progress struct {
	// ID is the Entry's, Ref the content store's ingest reference.
	ID, Ref string
	// Offset counts the bytes received so far; Total is -1 if unknown.
	Offset, Total int64
	// Done reports whether the layer is in the store; Known, whether it was there
	// before, so that nothing was fetched.
	Done, Known bool
	// Digest is the layer's descriptor digest, known once Done.
	Digest digest.Digest
}
