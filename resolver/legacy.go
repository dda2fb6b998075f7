package resolver

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// legacy decides which images are not pulled by containerd's resolver, but as a
// schema 1 manifest or with Registry v1.
type legacy struct {
	schema1 *schema1Images
	v1      *v1Images
}

func newLegacy(r *Resolver) *legacy {
	c := &conversions{hosts: r.hosts, options: &r.options, limits: &r.limits, registries: r.registries}
	return &legacy{&schema1Images{c, r.docker}, &v1Images{c}}
}

// settle handles the outcome of a v2 resolution. A schema 1 manifest is converted;
// if the registry does not speak v2 at all, Registry v1 is tried.
func (l *legacy) settle(ctx context.Context, spec reference.Spec, name string, desc ocispec.Descriptor, err error) (string, ocispec.Descriptor, error) {
	switch {
	case err == nil && !maybeSchema1(desc.MediaType):
		return name, desc, err
	case err == nil, errdefs.IsNotImplemented(err):
		// containerd answers "not implemented" for a schema 1 manifest whose
		// registry sends no digest with it.
		converted, cerr := l.schema1.image(ctx, spec, desc)
		if errors.Is(cerr, errNotSchema1) {
			return name, desc, err
		}
		return spec.String(), converted, cerr
	case errdefs.IsNotFound(err), oddAnswer(err):
		converted, cerr := l.v1.image(ctx, spec)
		if errors.Is(cerr, errNotRegistryV1) {
			hint := cerr
			if converted, cerr = (ocispec.Descriptor{}), err; errdefs.IsNotFound(err) {
				converted, cerr = l.schema1.pinned(ctx, spec, err)
			}
			if cerr != nil && errors.As(hint, new(*V1UnaskedError)) {
				cerr = fmt.Errorf("%w (%w)", cerr, hint)
			}
		}
		if cerr != nil && ctx.Err() != nil && !errors.Is(cerr, ctx.Err()) {
			// A lookup that ran out of time does not show that the image is absent.
			cerr = fmt.Errorf("%s: %w", spec, ctx.Err())
		}
		return spec.String(), converted, cerr
	default:
		return name, desc, err
	}
}
