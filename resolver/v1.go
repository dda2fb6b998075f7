package resolver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
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
	// V1Configured is for registries with a directory of their own. The zero
	// value means the same.
	V1Configured = hoststoml.V1Configured
	// V1Never is for none.
	V1Never = hoststoml.V1Never
	// V1Always is for every registry but Docker Hub.
	V1Always = hoststoml.V1Always
)

// parseV1Policy reads a policy from a configuration.
func parseV1Policy(s string) (V1Policy, error) {
	switch p := V1Policy(s); p {
	case "":
		return V1Configured, nil
	case V1Never, V1Configured, V1Always:
		return p, nil
	default:
		return "", fmt.Errorf("%q is none of %q, %q and %q", s, V1Never, V1Configured, V1Always)
	}
}

// registryV1 pulls an image that the v2 protocol did not find, if the registry
// may be and is to be asked in the v1 protocol.
func (r *Resolver) registryV1(ctx context.Context, spec reference.Spec) (ocispec.Descriptor, error) {
	rh, err := r.v1Endpoint(ctx, spec)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if r.options.Store == nil && !r.options.Measure {
		return ocispec.Descriptor{}, &SpeaksV1Error{Host: rh.Host}
	}
	if strings.HasPrefix(spec.Object, "@") && r.options.Store != nil {
		if desc, ok := r.convertedBefore(ctx, spec); ok {
			return desc, nil
		}
	}
	return r.observed(ctx, spec.Hostname(), spec.String(), ProtocolV1, func(ctx context.Context) (ocispec.Descriptor, error) {
		return r.pullV1(ctx, spec, rh)
	})
}

// SpeaksV1Error reports that an image is to be asked for in Registry v1, by a
// client that has no content store to convert it into.
type SpeaksV1Error struct {
	// Host is the endpoint to ask.
	Host string
}

// Error implements error.
func (e *SpeaksV1Error) Error() string {
	return fmt.Sprintf("%s has it in Registry v1 only, and this client has no content store to convert images into: %v", e.Host, errdefs.ErrNotImplemented)
}

// Unwrap makes it errdefs.ErrNotImplemented.
func (e *SpeaksV1Error) Unwrap() error { return errdefs.ErrNotImplemented }

func (r *Resolver) pullV1(ctx context.Context, spec reference.Spec, rh docker.RegistryHost) (ocispec.Descriptor, error) {
	tag, _, _ := strings.Cut(spec.Object, "@")
	if tag == "" {
		return ocispec.Descriptor{}, fmt.Errorf("%s: Registry v1 knows no digests: pull %s:TAG@%s, which pulls the tag and compares (CRI leaves the tag out of such a name: there pull it by tag first): %w",
			spec, spec.Locator, spec.Digest(), errdefs.ErrNotFound)
	}
	image, err := r.v1Client(spec, rh).Image(ctx, repository(spec), tag)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	// Labels name the registry of the reference, wherever it was reached.
	image.Scheme, image.Reader, image.Registry = r.source(spec).Scheme, r.options.Reader, spec.Hostname()
	return r.convert(ctx, spec, image, r.converter())
}

// converter is one whose downloads are limited as those of the pull are.
func (r *Resolver) converter() *v1compat.Converter {
	c := &v1compat.Converter{Limiter: r.options.Downloads}
	if c.Limiter == nil && r.limits.DownloadLimiter != nil {
		c.Limiter = r.limits.DownloadLimiter
	}
	return c
}

func (r *Resolver) v1Client(spec reference.Spec, rh docker.RegistryHost) *v1compat.Client {
	return &v1compat.Client{
		Scheme:      rh.Scheme,
		Host:        rh.Host,
		HTTP:        &http.Client{Transport: &headerTransport{next: rh.Client.Transport, host: rh, pull: r.options.Header}},
		Credentials: r.v1Credentials(spec.Hostname()),
		Hooks:       v1compat.ClientHooks{OnWarning: r.hosts.Hooks.warn(rh.Host)},
	}
}

// headerTransport adds the headers that docker's resolver adds to the requests
// it makes itself, to those for the registry and to no other.
type headerTransport struct {
	next http.RoundTripper
	host docker.RegistryHost
	// pull are the headers of the pull, beside those of the endpoint.
	pull http.Header
}

// RoundTrip implements http.RoundTripper.
func (t *headerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.strays(req) {
		return t.next.RoundTrip(req)
	}
	with := req.Clone(req.Context())
	addHeader(with, t.host.Header, t.pull)
	return t.next.RoundTrip(with)
}

// strays reports whether a request is for another server than the registry, or
// was redirected by one: that is followed with nothing private, even where it
// leads back.
func (t *headerTransport) strays(req *http.Request) bool {
	for hostname.SameOrigin(req.URL, &url.URL{Scheme: t.host.Scheme, Host: t.host.Host}) {
		if req.Response == nil {
			return false
		}
		if req = req.Response.Request; req == nil {
			return true
		}
	}
	return true
}

// addHeader leaves alone what the request has already, such as its token.
func addHeader(req *http.Request, from ...http.Header) {
	for _, h := range from {
		for k, v := range h {
			if req.Header.Get(k) == "" {
				req.Header[k] = append([]string(nil), v...)
			}
		}
	}
}

// v1Credentials are asked for by the name in the reference. The client asks for
// the host it was given alone.
func (r *Resolver) v1Credentials(registry string) func(context.Context, string) (string, string, error) {
	c := r.options.credentials(registry)
	return func(_ context.Context, host string) (string, string, error) { return c.of(host) }
}

// convertedBefore finds the manifest of an earlier conversion by the digest of
// a reference. It must come from the same registry and repository.
func (r *Resolver) convertedBefore(ctx context.Context, spec reference.Spec) (ocispec.Descriptor, bool) {
	dgst := spec.Digest()
	if dgst == "" || dgst.Validate() != nil {
		return ocispec.Descriptor{}, false
	}
	info, err := r.options.Store.Info(ctx, dgst)
	if err != nil || !r.source(spec).Made(info) {
		return ocispec.Descriptor{}, false
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: dgst, Size: info.Size}, true
}

// Source is what the content of a repository, HOST/NAME, is known by in a store:
// see [v1compat.Source].
func (r *Resolver) Source(ref string) (v1compat.Source, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return v1compat.Source{}, err
	}
	return r.source(spec), nil
}

// source names the registry of the reference, wherever it is reached. Its scheme
// is http if any endpoint that may be asked is reached in plain HTTP: ids of
// Registry v1 are no content hashes, and what anybody on the way may have sent is
// not to be found again once TLS is spoken.
func (r *Resolver) source(spec reference.Spec) v1compat.Source {
	s := v1compat.Source{Scheme: "https", Registry: spec.Hostname(), Repository: repository(spec), Reader: r.options.Reader}
	hosts, err := r.registryHosts(spec.Hostname())
	if err != nil {
		return s
	}
	for _, rh := range hosts {
		if rh.Scheme == "http" && rh.Capabilities.Has(docker.HostCapabilityPull) {
			s.Scheme = "http"
		}
	}
	return s
}

// repository is the part of a reference after the registry.
func repository(spec reference.Spec) string {
	return strings.TrimPrefix(path.Clean(spec.Locator), spec.Hostname()+"/")
}
