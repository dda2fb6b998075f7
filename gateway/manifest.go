package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is the largest manifest in bytes: docker.MaxManifestSize.
const maxManifest = 4 << 20

// serveManifest answers with a manifest. Its bytes are verified before the
// first of them is sent.
func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request, t *target) error {
	desc, err := s.resolve(r.Context(), t)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", desc.Digest.String())
	h.Set("Etag", strconv.Quote(desc.Digest.String()))
	h.Set("Content-Type", desc.MediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.FormatInt(desc.Size, 10))
		if etagMatches(r, desc.Digest.String()) {
			h.Del("Content-Length")
			w.WriteHeader(http.StatusNotModified)
		}
		return nil
	}
	body, err := s.manifest(r.Context(), t, desc)
	if err != nil {
		return err
	}
	// A manifest is read whole: a Range is for blobs.
	r.Header.Del("Range")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// resolve finds the descriptor of a manifest.
func (s *Server) resolve(ctx context.Context, t *target) (ocispec.Descriptor, error) {
	_, desc, err := s.resolverFor(t).Resolve(ctx, t.named())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if desc.Size > maxManifest {
		return ocispec.Descriptor{}, fmt.Errorf("%s: a manifest of %d bytes is larger than %d", t.named(), desc.Size, maxManifest)
	}
	return desc, nil
}

// manifest reads a manifest and verifies it.
func (s *Server) manifest(ctx context.Context, t *target, desc ocispec.Descriptor) ([]byte, error) {
	resp, err := s.resolverFor(t).Open(ctx, t.ref(), http.MethodGet,
		http.Header{"Accept": {desc.MediaType + ", */*"}}, "manifests", desc.Digest.String())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%s: reading the manifest: %w", t.named(), err)
	}
	if len(body) > maxManifest {
		return nil, fmt.Errorf("%s: the manifest has more than %d bytes", t.named(), maxManifest)
	}
	if got := desc.Digest.Algorithm().FromBytes(body); got != desc.Digest {
		return nil, &digestError{ref: t.named(), want: desc.Digest, got: got}
	}
	return body, nil
}
