package resolver

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mediaTypeArtifact is the manifest of artifacts that OCI 1.1 had until its last
// release candidate. Registries keep it where manifests are.
const mediaTypeArtifact = "application/vnd.oci.artifact.manifest.v1+json"

// otherKind is content as containerd fetches it from the other of the two places
// where a registry may have it. A media type does not say which that is: a layer
// may be a manifest as a file.
func otherKind(desc ocispec.Descriptor) (other ocispec.Descriptor, possible bool) {
	other = desc
	switch {
	case images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType):
		other.MediaType = "application/octet-stream"
	case desc.MediaType == mediaTypeArtifact:
		other.MediaType = ocispec.MediaTypeImageManifest
	default:
		return other, false
	}
	return other, true
}

// either reads content from where its media type says that it is, and where it
// is not there from the other place. It is open for one reader.
type either struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // that of Fetch, as in the readers of containerd
	fetcher remotes.Fetcher
	// other is what to ask for then; offset is where to begin.
	other  ocispec.Descriptor
	offset int64
	// settled tells that the one or the other it is.
	settled bool
}

// Read implements io.Reader.
func (e *either) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if e.settled || n > 0 || !errdefs.IsNotFound(err) {
		e.settled = e.settled || n > 0 || err == nil
		return n, err
	}
	e.settled = true
	rc, oerr := e.fetcher.Fetch(e.ctx, e.other)
	if oerr != nil {
		return 0, err
	}
	if s, ok := rc.(io.Seeker); ok && e.offset > 0 {
		if _, oerr := s.Seek(e.offset, io.SeekStart); oerr != nil {
			return 0, errors.Join(oerr, rc.Close())
		}
	}
	if n, oerr = rc.Read(p); errdefs.IsNotFound(oerr) {
		_ = rc.Close()
		return 0, err
	}
	_ = e.Close()
	e.ReadCloser = rc
	return n, oerr
}

// Seek implements io.Seeker.
func (e *either) Seek(offset int64, whence int) (int64, error) {
	s, ok := e.ReadCloser.(io.Seeker)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	at, err := s.Seek(offset, whence)
	if err == nil {
		e.offset = at
	}
	return at, err
}
