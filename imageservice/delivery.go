package imageservice

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// delivery is one pull into containerd, made as CRI makes it.
type delivery struct {
	target  *target
	hosts   *resolver.Hosts
	request *request
	how     configuration
	// node returns credentials for registries that the request has none for; it may be
	// nil.
	node func(ctx context.Context, host, repository string) (user, secret string, err error)
	// encrypted is set once an encrypted layer was seen.
	encrypted atomic.Bool
}

func (in *delivery) deliver(ctx context.Context) (pulledImage, error) {
	snapshotter := in.how.snapshotterFor(in.request.handler)
	watched, watch := watchProgress(ctx, in.request.ref, in.how.progressTimeout)
	desc, over, err := in.pull(watched, in.resolver(ctx, watch, false), snapshotter)
	if err = watch.end(err); err != nil {
		return pulledImage{}, in.explained(err)
	}
	config, err := containerd.NewImage(in.target.client, images.Image{Target: desc}).Config(ctx)
	if err != nil {
		return pulledImage{}, fmt.Errorf("%s: its configuration: %w", in.request.ref, err)
	}
	image := pulledImage{ID: config.Digest.String(), Digest: desc.Digest.String(), Snapshotter: snapshotter, Over: over}
	labels := in.how.labels(in.request.ref)
	for _, name := range in.request.names(image) {
		if err := in.target.name(ctx, images.Image{Name: name, Target: desc, Labels: labels}); err != nil {
			return pulledImage{}, fmt.Errorf("naming %s %s: %w", in.request.ref, name, err)
		}
	}
	return image, in.target.known(ctx, in.request.names(image))
}

// resolver returns the resolver for the pull, with v2Only one that stores nothing. It
// resolves the reference as requested: a registry without digests finds an image only
// by its tag.
func (in *delivery) resolver(ctx context.Context, watch *progressWatch, v2Only bool) remotes.ResolverWithOptions {
	return &spelt{
		Resolver: resolver.New(resolver.Options{
			Hosts:       in.hosts,
			Credentials: in.request.auth.credentials,
			Fallback:    in.fallback(ctx),
			Store:       in.target.client.ContentStore(),
			IntoStore:   true,
			OnProgress:  watch.conversion,
			V2Only:      v2Only,
			UpdateClient: func(c *http.Client) error {
				if bearer := in.request.auth.bearer(in.request.registry); bearer != "" {
					c.Transport = &bearing{next: c.Transport, registry: in.request.registry, value: bearer}
				}
				c.Transport = watch.transport(c.Transport)
				return nil
			},
		}),
		asked: in.request.asked,
	}
}

// fallback returns a function for the node's credentials, for hosts that the request
// has none for.
func (in *delivery) fallback(ctx context.Context) func(host string) (user, secret string, err error) {
	return func(host string) (string, string, error) {
		if in.node == nil || in.request.auth.answersFor(host) {
			return "", "", nil
		}
		return in.node(ctx, host, reference.Path(in.request.named))
	}
}

// spelt resolves any reference as asked, the fuller form of the one wanted.
type spelt struct {
	*resolver.Resolver
	asked string
}

var _ remotes.ResolverWithOptions = (*spelt)(nil)

// Resolve implements remotes.Resolver.
func (r *spelt) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	_, desc, err := r.Resolver.Resolve(ctx, r.asked)
	return ref, desc, err
}

// bearing adds a registry token to the requests to the registry itself.
type bearing struct {
	next            http.RoundTripper
	registry, value string
}

// RoundTrip implements http.RoundTripper.
func (b *bearing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") == "" && serverOf(req.URL.Host) == serverOf(b.registry) {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", b.value)
	}
	return b.next.RoundTrip(req)
}
