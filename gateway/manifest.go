package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
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
	var body []byte
	if r.Method == http.MethodGet {
		if body, err = s.manifest(r.Context(), t, desc); err != nil {
			return err
		}
	}
	h := w.Header()
	describe(h, desc.Digest, desc.MediaType)
	if body == nil {
		if etagMatches(r, desc.Digest.String()) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		if desc.Size > 0 { // otherwise nobody has said
			h.Set("Content-Length", strconv.FormatInt(desc.Size, 10))
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	// A manifest is read whole: a Range is for blobs.
	r.Header.Del("Range")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// describe sets what a client is told about content.
func describe(h http.Header, d digest.Digest, mediaType string) {
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", strconv.Quote(d.String()))
	h.Set("Content-Type", mediaType)
	// A browser must not take content for what it looks like.
	h.Set("X-Content-Type-Options", "nosniff")
}

// resolve finds the descriptor of a manifest, and converts what has to be.
func (s *Server) resolve(ctx context.Context, t *target) (ocispec.Descriptor, error) {
	if desc, ok := s.storedManifest(ctx, t); ok {
		return desc, nil
	}
	if tag := s.tagOf(t); tag != "" {
		return s.resolveTag(ctx, t, tag)
	}
	flight := s.flights.join(t.key(), t.named(), func(ctx context.Context) (ocispec.Descriptor, error) {
		return s.resolveNow(ctx, t)
	})
	desc, err := flight.result(ctx)
	if err == nil && t.digest != "" && desc.Digest != t.digest {
		return desc, &fault{
			status: http.StatusNotFound, code: codeManifestUnknown,
			message: fmt.Sprintf("%s is a schema 1 manifest, which is served converted, under its own digest alone: ask for %s@%s", t.named(), t.ref(), desc.Digest),
		}
	}
	return desc, err
}

func (s *Server) resolveNow(ctx context.Context, t *target) (_ ocispec.Descriptor, err error) {
	if s.options.Store != nil {
		var release func()
		ctx, release = s.options.Store.withPins(ctx)
		defer func() {
			release()
			s.flights.wait.Go(func() { s.evictAfter(ctx, err) })
		}()
	}
	_, desc, err := s.resolverFor(t).resolve.Resolve(withVia(ctx, t.via), t.named())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if desc.Size > maxManifest {
		return ocispec.Descriptor{}, fmt.Errorf("%s: a manifest of %d bytes is larger than %d", t.named(), desc.Size, maxManifest)
	}
	if s.options.Store != nil && t.tag != "" {
		s.remember(ctx, t, desc.Digest)
	}
	return desc, nil
}

// evictAfter makes room again after a conversion. Nothing is left to be continued
// of one that had none.
func (s *Server) evictAfter(ctx context.Context, err error) {
	if isFull(err) {
		s.options.Store.dropLeftovers(ctx)
	}
	if flightIn(ctx).converting() {
		s.options.Store.tidy(ctx)
	}
}

// manifest reads a manifest and verifies it.
func (s *Server) manifest(ctx context.Context, t *target, desc ocispec.Descriptor) ([]byte, error) {
	found := *t
	found.digest = desc.Digest
	if _, ok := s.stored(ctx, &found); ok {
		body, err := content.ReadBlob(ctx, s.options.Store.Store, desc)
		if err == nil {
			err = verify(body, t.named(), desc.Digest)
		}
		if errors.As(err, new(*digestError)) {
			s.discard(ctx, desc.Digest, err)
		}
		return body, err
	}
	resp, err := s.resolverFor(t).fetch.Open(ctx, t.ref(), http.MethodGet,
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
	return body, verify(body, t.named(), desc.Digest)
}
