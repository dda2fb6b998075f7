package resolver

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/v1compat"
)

// conversions converts images of Registry v1 and schema 1 for one pull into OCI
// images in its store.
type conversions struct {
	hosts      *Hosts
	options    *Options
	limits     *transfer.ImageResolverOptions
	registries *registries
}

// convert stores an image and checks it against the digest of the reference, if any.
func (c *conversions) convert(ctx context.Context, spec reference.Spec, image *v1compat.Image) (ocispec.Descriptor, error) {
	switch {
	case c.options.Measure:
		return ocispec.Descriptor{}, measure(ctx, spec, image)
	case c.options.Begin:
		if err := image.Begin(ctx); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("%s: %w", spec, err)
		}
		return ocispec.Descriptor{}, &UnconvertedError{Ref: spec.String()}
	}
	converter := &v1compat.Converter{
		Store:                  c.options.Store,
		Limiter:                c.limiter(),
		MaxConcurrentDownloads: c.limits.Performances.MaxConcurrentDownloads,
		Hooks: v1compat.Hooks{
			OnProgress: watchedLayers(ctx, c.hosts.Hooks.progress(c.options.OnProgress)),
			OnWarning:  c.hosts.Hooks.warn(spec.Hostname()),
			OnLayer:    traceLayer(spec.Hostname()),
		},
	}
	desc, err := converter.Convert(ctx, image)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return desc, compare(spec, desc)
}

// limiter returns the limiter of the pull.
func (c *conversions) limiter() v1compat.Limiter {
	if c.options.Downloads == nil && c.limits.DownloadLimiter != nil {
		return c.limits.DownloadLimiter
	}
	return c.options.Downloads
}

// before finds the manifest of an earlier conversion by the digest of a reference. It
// must come from the same registry and repository.
func (c *conversions) before(ctx context.Context, spec reference.Spec) (ocispec.Descriptor, bool) {
	dgst := spec.Digest()
	if dgst == "" || dgst.Validate() != nil {
		return ocispec.Descriptor{}, false
	}
	info, err := c.options.Store.Info(ctx, dgst)
	if err != nil || !c.source(spec).Made(info) {
		return ocispec.Descriptor{}, false
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: dgst, Size: info.Size}, true
}

// source names the registry of the reference, whichever endpoint serves it. Its
// scheme is http if any endpoint of the pull uses plain HTTP: ids of Registry v1 are
// not content hashes, and content that anybody on the network path may have sent must
// not be found again once TLS is used.
func (c *conversions) source(spec reference.Spec) v1compat.Source {
	s := v1compat.Source{Scheme: "https", Registry: spec.Hostname(), Repository: repository(spec), Reader: c.options.Reader}
	endpoints, err := c.registries.endpoints(spec, docker.HostCapabilityPull)
	if err != nil {
		return s
	}
	for _, e := range endpoints {
		if e.Scheme == "http" {
			s.Scheme = "http"
		}
	}
	return s
}

// observed runs a conversion in a span and reports its result.
func (c *conversions) observed(ctx context.Context, spec reference.Spec, protocol string, run func(context.Context) (ocispec.Descriptor, error)) (ocispec.Descriptor, error) {
	ended := Conversion{Registry: spec.Hostname(), Ref: spec.String(), Protocol: protocol}
	start := time.Now()
	ctx, done := traceConversion(ctx, ended)
	watch := c.hosts.Hooks.begin(Work{Registry: ended.Registry, Ref: ended.Ref, Protocol: protocol})
	if watch != nil {
		defer watch.End()
	}
	desc, err := run(withWatch(ctx, watch))
	done(desc, err)
	if hook := c.hosts.Hooks.OnConvert; hook != nil {
		ended.Took = time.Since(start)
		if err != nil {
			ended.Err = &discreetError{err}
		} else {
			ended.Descriptor = desc
		}
		ended.Identity = lastIdentity(certsd.TrailOf(ctx))
		hook(ctx, ended)
	}
	return desc, err
}

func lastIdentity(trail *certsd.Trail) string {
	name := ""
	if trail != nil {
		for _, a := range trail.Attempts() {
			if a.Skipped == "" {
				name = cmp.Or(a.Identity, name)
			}
		}
	}
	return name
}

// Conversion describes a finished or failed conversion from Registry v1 or schema 1.
type Conversion struct {
	// Registry is the host[:port] in the reference, Ref the reference.
	Registry, Ref string
	// Protocol is ProtocolV1 or ProtocolSchema1.
	Protocol string
	// Identity is the client certificate of the last request that presented one, if
	// any.
	Identity string
	// Descriptor is the manifest's descriptor, zero with Err.
	Descriptor ocispec.Descriptor
	// Took is the duration of the conversion.
	Took time.Duration
	// Err is why the conversion failed. Its text contains no secret.
	Err error
}

// Values of Conversion.Protocol.
const (
	ProtocolV1      = "Registry v1"
	ProtocolSchema1 = "schema 1"
)

// discreetError is an error whose text is safe to log.
type discreetError struct{ err error }

func (e *discreetError) Error() string { return presentable(e.err) }
func (e *discreetError) Unwrap() error { return e.err }

// compare checks a converted image against the digest of the reference, if any.
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

// Error names the digest of the converted image.
func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: the image converts to %s, not to the digest asked for: if the tag was meant to move, pull it without digest", e.Ref, e.Got)
}

// Unwrap returns errdefs.ErrFailedPrecondition.
func (e *DigestError) Unwrap() error { return errdefs.ErrFailedPrecondition }
