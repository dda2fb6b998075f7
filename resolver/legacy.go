package resolver

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat"
)

// legacy looks at how a v2 resolution ended. A schema 1 manifest is converted;
// where the registry knows no v2 at all, Registry v1 is asked.
func (r *Resolver) legacy(ctx context.Context, spec reference.Spec, name string, desc ocispec.Descriptor, err error) (string, ocispec.Descriptor, error) {
	switch {
	case r.options.V2Only, err == nil && !maybeSchema1(desc.MediaType):
		return name, desc, err
	case err == nil, errdefs.IsNotImplemented(err):
		// containerd answers "not implemented" for a schema 1 manifest whose
		// registry sends no digest with it.
		converted, cerr := r.schema1(ctx, spec, desc)
		if errors.Is(cerr, errNotSchema1) {
			return name, desc, err
		}
		return spec.String(), converted, cerr
	case errdefs.IsNotFound(err), oddAnswer(err):
		converted, cerr := r.registryV1(ctx, spec)
		if errors.Is(cerr, errNotRegistryV1) {
			hint := cerr
			if converted, cerr = (ocispec.Descriptor{}), err; errdefs.IsNotFound(err) {
				converted, cerr = r.pinnedSchema1(ctx, spec, err)
			}
			if cerr != nil && errors.As(hint, new(*V1UnaskedError)) {
				cerr = fmt.Errorf("%w (%w)", cerr, hint)
			}
		}
		if cerr != nil && ctx.Err() != nil && !errors.Is(cerr, ctx.Err()) {
			// Whoever had no time left does not know that it is not there.
			cerr = fmt.Errorf("%s: %w", spec, ctx.Err())
		}
		return spec.String(), converted, cerr
	default:
		return name, desc, err
	}
}

// convert puts an image into the store and checks it against the digest of the
// reference, if that has one.
func (r *Resolver) convert(ctx context.Context, spec reference.Spec, image *v1compat.Image, c *v1compat.Converter) (ocispec.Descriptor, error) {
	switch {
	case r.options.Measure:
		return ocispec.Descriptor{}, r.measure(ctx, spec, image)
	case r.options.Begin:
		if err := image.Begin(ctx); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("%s: %w", spec, err)
		}
		return ocispec.Descriptor{}, &UnconvertedError{Ref: spec.String()}
	}
	c.Store = r.options.Store
	c.OnProgress = watchedLayers(ctx, r.hosts.Hooks.progress(r.options.OnProgress))
	c.OnWarning = r.hosts.Hooks.warn(spec.Hostname())
	c.Trace = traceLayer(spec.Hostname())
	c.MaxConcurrentDownloads = r.limits.Performances.MaxConcurrentDownloads
	desc, err := c.Convert(ctx, image)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return desc, compare(spec, desc)
}

// compare holds a converted image to the digest of the reference, if that has
// one.
func compare(spec reference.Spec, desc ocispec.Descriptor) error {
	if want := spec.Digest(); want != "" && want != desc.Digest {
		return &DigestError{Ref: spec.String(), Want: want, Got: desc.Digest}
	}
	return nil
}

// DigestError reports that a converted image is not the one the reference names.
type DigestError struct {
	Ref       string
	Want, Got digest.Digest
}

// Error names the digest that the image has.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: the image converts to %s, not to the digest asked for: if the tag was meant to move, pull it without digest", e.Ref, e.Got)
}

// Unwrap makes the error one of errdefs.ErrFailedPrecondition.
func (e *DigestError) Unwrap() error { return errdefs.ErrFailedPrecondition }
