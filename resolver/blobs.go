package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/bounded"
	"github.com/certsd/containerd-certsd/internal/manifest"
	"github.com/certsd/containerd-certsd/v1compat"
)

// blobOpener reads the layers of a schema 1 image from the endpoints, in order, with
// GET only: their size is not known in advance, and registries that redirect to
// signed URLs, or serve files, do not answer HEAD reliably.
func (s *schema1Images) blobOpener(spec reference.Spec) func(context.Context, digest.Digest, int64) (*v1compat.LayerStream, error) {
	return func(ctx context.Context, dgst digest.Digest, offset int64) (*v1compat.LayerStream, error) {
		header := http.Header{}
		if offset > 0 {
			header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		resp, err := s.registries.open(ctx, spec, http.MethodGet, header, "blobs", dgst.String())
		if err != nil {
			return nil, err
		}
		stream := &v1compat.LayerStream{ReadCloser: resp.Body, Total: resp.ContentLength, Validator: dgst.String()}
		if resp.StatusCode != http.StatusPartialContent {
			return stream, nil
		}
		content := resp.Header.Get("Content-Range")
		part, ok := bounded.ParseContentRange(content)
		if !ok || part.Start != offset {
			closing(resp)
			if offset == 0 {
				return nil, fmt.Errorf("%s answered with the range %.100q to a request for the whole blob", spec.Hostname(), content)
			}
			// The range cannot be parsed or is not the one requested: read the whole
			// blob.
			return s.blobOpener(spec)(ctx, dgst, 0)
		}
		stream.Start, stream.Total = part.Start, part.Total
		return stream, nil
	}
}

// elsewhereIn returns the media type under which to look for a digest that the
// registry does not have where its own media type implies. Layers and configurations
// are blobs even if their media type is that of a manifest, and containerd does not
// know the types of some manifests.
func elsewhereIn(mediaType string) string {
	switch {
	case images.IsManifestType(mediaType), images.IsIndexType(mediaType):
		return "application/octet-stream"
	case manifest.KindOf(mediaType) != 0:
		return ocispec.MediaTypeImageManifest
	default:
		return ""
	}
}

// turning reads content that may be in either of two places. The first Read tries the
// first one.
type turning struct {
	io.ReadCloser
	// other opens the second place; nil after the first Read.
	other func() (io.ReadCloser, error)
	// offset is where to begin in the second place.
	offset int64
}

// Read implements io.Reader.
func (t *turning) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	other := t.other
	t.other = nil
	if n > 0 || other == nil || !errdefs.IsNotFound(err) {
		return n, err
	}
	rc, oerr := other()
	if oerr != nil {
		return 0, err
	}
	if s, ok := rc.(io.Seeker); ok && t.offset > 0 {
		if _, oerr := s.Seek(t.offset, io.SeekStart); oerr != nil {
			return 0, errors.Join(oerr, rc.Close())
		}
	}
	n, oerr = rc.Read(p)
	if oerr != nil && oerr != io.EOF {
		if errdefs.IsNotFound(oerr) {
			oerr = err // the first place's error counts
		}
		return n, errors.Join(oerr, rc.Close())
	}
	_ = t.Close()
	t.ReadCloser = rc
	return n, oerr
}

// seekableTurning can be resumed by containerd's content.Copy.
type seekableTurning struct{ *turning }

// Seek implements io.Seeker.
func (t seekableTurning) Seek(offset int64, whence int) (int64, error) {
	s, ok := t.ReadCloser.(io.Seeker)
	if !ok {
		return 0, errors.New("the content cannot be read from elsewhere")
	}
	at, err := s.Seek(offset, whence)
	if err == nil {
		t.offset = at
	}
	return at, err
}

// fetch fetches content from the place that its media type implies, or else from the
// other one.
func (f *fetcher) fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.inner.Fetch(ctx, desc)
	other := elsewhereIn(desc.MediaType)
	if err != nil || other == "" {
		return rc, err
	}
	t := &turning{ReadCloser: rc, other: func() (io.ReadCloser, error) {
		desc.MediaType = other
		return f.inner.Fetch(ctx, desc)
	}}
	if _, ok := rc.(io.Seeker); ok {
		return seekableTurning{t}, nil
	}
	return t, nil
}

var _ remotes.FetcherFunc = (*fetcher)(nil).fetch
