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

// manifests serves manifests.
type manifests struct {
	shelf       *shelf
	upstreams   *upstreams
	conversions *conversions
}

// serve answers with a manifest, verified before its first byte is sent.
func (m *manifests) serve(w http.ResponseWriter, r *http.Request, t *target) error {
	desc, err := m.conversions.resolve(r.Context(), t)
	if err != nil {
		return err
	}
	var body []byte
	if r.Method == http.MethodGet {
		if body, err = m.read(r.Context(), t, desc); err != nil {
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
		if desc.Size > 0 { // otherwise it is unknown
			h.Set("Content-Length", strconv.FormatInt(desc.Size, 10))
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	// A manifest is served completely: ranges are for blobs.
	r.Header.Del("Range")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// describe sets the headers that describe content.
func describe(h http.Header, d digest.Digest, mediaType string) {
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", strconv.Quote(d.String()))
	h.Set("Content-Type", mediaType)
	// A browser must not guess the type of content.
	h.Set("X-Content-Type-Options", "nosniff")
}

// read reads a manifest and verifies it.
func (m *manifests) read(ctx context.Context, t *target, desc ocispec.Descriptor) ([]byte, error) {
	found := *t
	found.digest = desc.Digest
	if _, ok := m.shelf.stored(ctx, &found); ok {
		body, err := content.ReadBlob(ctx, m.shelf.store.Store, desc)
		if err == nil {
			err = verify(body, t.named(), desc.Digest)
		}
		if errors.As(err, new(*digestError)) {
			m.shelf.discard(ctx, desc.Digest, err)
		}
		return body, err
	}
	resp, err := m.upstreams.resolverFor(t).fetch.Open(ctx, t.ref(), http.MethodGet,
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
