package resolver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/v1compat"
)

// V1Policy says which registries may be spoken to in the v1 protocol.
type V1Policy = hoststoml.RegistryV1

const (
	// V1Configured allows registries with a directory of their own. It is the
	// default.
	V1Configured = hoststoml.V1Configured
	// V1Never allows no registry.
	V1Never = hoststoml.V1Never
	// V1Always allows every registry but Docker Hub.
	V1Always = hoststoml.V1Always
)

// parseV1Policy parses a policy from a configuration.
func parseV1Policy(s string) (V1Policy, error) {
	switch p := V1Policy(s); p {
	case "":
		return V1Configured, nil
	case V1Never, V1Configured, V1Always:
		return p, nil
	default:
		return "", fmt.Errorf("%q is not one of %q, %q and %q", s, V1Never, V1Configured, V1Always)
	}
}

// v1Images handles images of registries that speak the v1 protocol.
type v1Images struct{ *conversions }

// image pulls an image that the v2 protocol did not find, if the registry may and
// should be asked in the v1 protocol.
func (v *v1Images) image(ctx context.Context, spec reference.Spec) (ocispec.Descriptor, error) {
	e, err := v.endpoint(ctx, spec)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if v.options.Store == nil && !v.options.Measure {
		return ocispec.Descriptor{}, &SpeaksV1Error{Host: e.Host}
	}
	if strings.HasPrefix(spec.Object, "@") && v.options.Store != nil {
		if desc, ok := v.before(ctx, spec); ok {
			return desc, nil
		}
	}
	return v.observed(ctx, spec, ProtocolV1, func(ctx context.Context) (ocispec.Descriptor, error) {
		return v.pull(ctx, e)
	})
}

// SpeaksV1Error reports that an image must be requested in Registry v1, but the
// client has no content store to convert it into.
type SpeaksV1Error struct {
	// Host is the endpoint to ask.
	Host string
}

// Error implements error.
func (e *SpeaksV1Error) Error() string {
	return fmt.Sprintf("%s has the image in Registry v1 only, and this client has no content store to convert images into: %v", e.Host, errdefs.ErrNotImplemented)
}

// Unwrap returns errdefs.ErrNotImplemented.
func (e *SpeaksV1Error) Unwrap() error { return errdefs.ErrNotImplemented }

func (v *v1Images) pull(ctx context.Context, e *endpoint) (ocispec.Descriptor, error) {
	spec := e.spec
	tag, _, _ := strings.Cut(spec.Object, "@")
	if tag == "" {
		return ocispec.Descriptor{}, fmt.Errorf("%s: Registry v1 has no digests: pull %s:TAG@%s, which pulls the tag and compares (CRI leaves the tag out of such a name: there pull it by tag first): %w",
			spec, spec.Locator, spec.Digest(), errdefs.ErrNotFound)
	}
	image, err := v.client(e).Image(ctx, repository(spec), tag)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	// Labels name the registry of the reference, whichever endpoint served it.
	image.Scheme, image.Reader, image.Registry = v.source(spec).Scheme, v.options.Reader, spec.Hostname()
	return v.convert(ctx, spec, image)
}

// tags returns the tags of a repository that the v2 protocol did not find.
func (v *v1Images) tags(ctx context.Context, spec reference.Spec) ([]string, error) {
	e, err := v.endpoint(ctx, spec)
	if err != nil {
		return nil, err
	}
	tags, err := v.client(e).Tags(ctx, repository(spec))
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(tags)), nil
}

func (v *v1Images) client(e *endpoint) *v1compat.Client {
	return &v1compat.Client{
		Scheme:      e.Scheme,
		Host:        e.Host,
		HTTP:        &http.Client{Transport: &headerTransport{next: e.Client.Transport, endpoint: e}},
		Credentials: v.credentials(e.spec.Hostname()),
		Hooks:       v1compat.Hooks{OnWarning: v.hosts.Hooks.warn(e.Host)},
	}
}

// headerTransport adds the headers that docker's resolver adds to its own requests,
// but only to requests for the registry.
type headerTransport struct {
	next     http.RoundTripper
	endpoint *endpoint
}

// RoundTrip implements http.RoundTripper.
func (t *headerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.strays(req) {
		return t.next.RoundTrip(req)
	}
	with := req.Clone(req.Context())
	addHeader(with, t.endpoint.Header, t.endpoint.pull)
	return t.next.RoundTrip(with)
}

// strays reports whether a request is for a server other than the registry, or was
// redirected by one: such a redirect is followed without anything private, even if it
// leads back.
func (t *headerTransport) strays(req *http.Request) bool {
	for hostname.SameOrigin(req.URL, &url.URL{Scheme: t.endpoint.Scheme, Host: t.endpoint.Host}) {
		if req.Response == nil {
			return false
		}
		if req = req.Response.Request; req == nil {
			return true
		}
	}
	return true
}

// addHeader adds headers, but keeps those the request already has, such as its token.
func addHeader(req *http.Request, from ...http.Header) {
	for _, h := range from {
		for k, v := range h {
			if req.Header.Get(k) == "" {
				req.Header[k] = append([]string(nil), v...)
			}
		}
	}
}

// credentials returns a function for the credentials under the registry's name in the
// reference. The client calls it only for its own host.
func (v *v1Images) credentials(registry string) func(context.Context, string) (string, string, error) {
	c := v.options.credentials(registry)
	return func(_ context.Context, host string) (string, string, error) { return c.of(host) }
}

// repository returns the part of a reference after the registry.
func repository(spec reference.Spec) string {
	return strings.TrimPrefix(path.Clean(spec.Locator), spec.Hostname()+"/")
}
