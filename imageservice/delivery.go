package imageservice

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/snapshotters"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/resolver"
)

// delivery is one pull into containerd, made as CRI makes it.
type delivery struct {
	target  *target
	hosts   *resolver.Hosts
	request *request
	how     configuration
	// node has credentials where the request has none, nil for none.
	node func(ctx context.Context, host, repository string) (user, secret string, err error)
	// encrypted is set once a layer is.
	encrypted atomic.Bool
}

func (in *delivery) deliver(ctx context.Context) (Image, error) {
	snapshotter := in.how.snapshotterFor(in.request.handler)
	labels := in.how.labels(in.request.ref)
	watched, watch := watchProgress(ctx, in.request.ref, in.how.progressTimeout)
	pulled, err := in.target.client.Pull(watched, in.request.ref, in.options(watched, watch, snapshotter, labels)...)
	if err = watch.end(err); err != nil {
		return Image{}, in.explained(err)
	}
	config, err := pulled.Config(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("%s: its configuration: %w", in.request.ref, err)
	}
	image := Image{ID: config.Digest.String(), Digest: pulled.Target().Digest.String(), Snapshotter: snapshotter}
	for _, name := range append([]string{image.ID}, in.request.names(image.Digest)...) {
		if err := in.target.name(ctx, images.Image{Name: name, Target: pulled.Target(), Labels: labels}); err != nil {
			return Image{}, fmt.Errorf("naming %s %s: %w", in.request.ref, name, err)
		}
	}
	return image, in.target.known(ctx, in.request.ref, image.ID)
}

func (in *delivery) options(ctx context.Context, watch *progressWatch, snapshotter string, labels map[string]string) []containerd.RemoteOpt {
	options := []containerd.RemoteOpt{
		containerd.WithResolver(in.resolver(ctx, watch, false)),
		containerd.WithPullSnapshotter(snapshotter),
		containerd.WithPullUnpack,
		containerd.WithPullLabels(labels),
		containerd.WithMaxConcurrentDownloads(in.how.downloads),
		containerd.WithDownloadLimiter(semaphore.NewWeighted(int64(in.how.downloads))),
		containerd.WithConcurrentLayerFetchBuffer(in.how.layerFetchBuffer),
		containerd.WithUnpackOpts(in.unpackOptions()),
	}
	if in.how.annotations {
		options = append(options, containerd.WithImageHandlerWrapper(snapshotters.AppendInfoHandlerWrapper(in.request.ref)))
	}
	if in.how.discard {
		// containerd's garbage collection may then take the layers.
		options = append(options, containerd.WithChildLabelMap(images.ChildGCLabelsFilterLayers))
	}
	return options
}

func (in *delivery) unpackOptions() []containerd.UnpackOpt {
	options := []containerd.UnpackOpt{containerd.WithUnpackDuplicationSuppressor(&in.target.unpacks)}
	if in.how.decrypts {
		options = append(options, containerd.WithUnpackApplyOpts(in.withDecryption))
	}
	return options
}

// resolver makes that of the pull; with v2Only one that stores nothing. It is asked for the reference that is asked
// for: a registry without digests finds an image by its tag only.
func (in *delivery) resolver(ctx context.Context, watch *progressWatch, v2Only bool) remotes.Resolver {
	return &spelt{
		Resolver: resolver.New(resolver.Options{
			Hosts:       in.hosts,
			Credentials: in.request.auth.credentials,
			Fallback:    in.fallback(ctx),
			Store:       in.target.client.ContentStore(),
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

// fallback are the node's credentials, for what the request has none for.
func (in *delivery) fallback(ctx context.Context) func(host string) (user, secret string, err error) {
	return func(host string) (string, string, error) {
		if in.node == nil || in.request.auth.answersFor(host) {
			return "", "", nil
		}
		return in.node(ctx, host, reference.Path(in.request.named))
	}
}

// spelt resolves one reference by the fuller form of it.
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
