package resolver

import (
	"context"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/v1compat"
)

// UnconvertedError reports that an image requires a conversion and was only measured
// or begun, as Options.Measure and Options.Begin request.
type UnconvertedError struct {
	Ref string
	// Layers are the layers of the image, each once; none if it was begun.
	Layers []LayerSize
}

// LayerSize is a layer's size according to the registry.
type LayerSize struct {
	// ID names the layer within its repository.
	ID string
	// Size is the size of the layer as stored, -1 if unknown.
	Size int64
}

// Error implements error.
func (e *UnconvertedError) Error() string {
	return fmt.Sprintf("%s must be converted: %d layers: %v", e.Ref, len(e.Layers), errdefs.ErrNotImplemented)
}

// Unwrap returns errdefs.ErrNotImplemented.
func (e *UnconvertedError) Unwrap() error { return errdefs.ErrNotImplemented }

// measuring is how many layers are measured at a time.
const measuring = 4

// measure requests the sizes of an image's layers. Its error is never nil.
func measure(ctx context.Context, spec reference.Spec, image *v1compat.Image) error {
	e := &UnconvertedError{Ref: spec.String()}
	var asks []func(context.Context) int64
	seen := map[string]bool{}
	for i := range image.Entries {
		entry := &image.Entries[i]
		if entry.Throwaway || seen[entry.ID] {
			continue
		}
		seen[entry.ID] = true
		e.Layers = append(e.Layers, LayerSize{ID: entry.ID, Size: -1})
		asks = append(asks, entry.Measure)
	}
	var group errgroup.Group
	group.SetLimit(measuring)
	for i, ask := range asks {
		group.Go(func() error {
			e.Layers[i].Size = ask(ctx)
			return nil
		})
	}
	_ = group.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	return e
}

// blobSize requests the size of a layer of a schema 1 image. Registries that
// redirect, or serve files, answer HEAD unreliably: anything but a size, even 404,
// means unknown.
func (s *schema1Images) blobSize(spec reference.Spec, dgst digest.Digest) func(context.Context) int64 {
	return func(ctx context.Context) int64 {
		resp, err := s.registries.open(ctx, spec, http.MethodHead, nil, "blobs", dgst.String())
		if err != nil {
			return -1
		}
		closing(resp)
		if resp.ContentLength <= 0 {
			return -1
		}
		return resp.ContentLength
	}
}
