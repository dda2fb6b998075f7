package resolver

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// legacy decides what is pulled otherwise than containerd's resolver does, and
// how: as a schema 1 manifest, or in Registry v1.
type legacy struct {
	schema1 *schema1Images
	v1      *v1Images
}

func newLegacy(r *Resolver) *legacy {
	c := &conversions{hosts: r.hosts, options: &r.options, limits: &r.limits, registries: r.registries}
	return &legacy{&schema1Images{c, r.docker}, &v1Images{c}}
}

// settle looks at how a v2 resolution ended. A schema 1 manifest is converted;
// where the registry knows no v2 at all, Registry v1 is asked.
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
			// Whoever had no time left does not know that it is not there.
			cerr = fmt.Errorf("%s: %w", spec, ctx.Err())
		}
		return spec.String(), converted, cerr
	default:
		return name, desc, err
	}
}
