package imageservice

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/unpack"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/snapshotters"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// The ways into containerd.
const (
	overLoopback = "loopback"
	overSocket   = "socket"
)

// pull resolves the reference, and brings the image into containerd, over one of the two
// ways.
func (in *delivery) pull(ctx context.Context, resolver remotes.ResolverWithOptions, snapshotter string) (desc ocispec.Descriptor, over string, err error) {
	resolver.SetOptions(
		transfer.WithConcurrentLayerFetchBuffer(in.how.layerFetchBuffer),
		transfer.WithMaxConcurrentDownloads(in.how.downloads),
		transfer.WithDownloadLimiter(in.limiter()),
	)
	name, desc, err := resolver.Resolve(ctx, in.request.ref)
	if err != nil {
		return desc, "", fmt.Errorf("failed to resolve reference %q: %w", in.request.ref, err)
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return desc, "", fmt.Errorf("failed to get fetcher for %q: %w", name, err)
	}
	done, err := in.handOver(ctx, fetcher, desc, snapshotter)
	if done || err != nil {
		return desc, overLoopback, err
	}
	desc, err = in.fetch(ctx, fetcher, images.Image{Name: name, Target: desc}, snapshotter)
	if err != nil {
		// containerd's own errors name digests only.
		err = fmt.Errorf("pull of %s from %s: %w", in.request.ref, in.request.registry, err)
	}
	return desc, overSocket, err
}

// fetch fetches an image and unpacks it over containerd's socket, in the order in which
// containerd's transfer service does. Pull of containerd's client would take one more
// round trip for each label of a layer, and fetch layers in another order than it
// unpacks them.
func (in *delivery) fetch(ctx context.Context, fetcher remotes.Fetcher, image images.Image, snapshotter string) (desc ocispec.Descriptor, err error) {
	desc = image.Target
	var old atomic.Bool
	handler, err := in.handler(fetcher, &old)
	if err != nil {
		return desc, err
	}
	unpacker, err := in.unpacker(ctx, snapshotter)
	if err != nil {
		return desc, err
	}
	err = images.Dispatch(ctx, unpacker.Unpack(handler), nil, desc)
	unpacked, unpackErr := unpacker.Wait() // also to clean up
	if err == nil {
		err = unpackErr
	}
	if err != nil {
		return desc, err
	}
	if old.Load() {
		if desc, err = docker.ConvertManifest(ctx, in.target.client.ContentStore(), desc); err != nil {
			return desc, err
		}
	}
	if unpacked.Unpacks == 0 {
		image.Target = desc
		image := containerd.NewImage(in.target.client, image)
		if err := image.Unpack(ctx, snapshotter, containerd.WithUnpackDuplicationSuppressor(&in.target.unpacks), containerd.WithUnpackApplyOpts(in.applyOptions()...)); err != nil {
			return desc, fmt.Errorf("failed to unpack image on snapshotter %s: %w", snapshotter, err)
		}
	}
	return desc, nil
}

func (in *delivery) limiter() *semaphore.Weighted {
	return semaphore.NewWeighted(int64(in.how.downloads))
}

// handler fetches what a descriptor refers to, and lists its children. It sets old if a
// configuration has the media type of old clients.
func (in *delivery) handler(fetcher remotes.Fetcher, old *atomic.Bool) (images.Handler, error) {
	store, err := in.labelling()
	if err != nil {
		return nil, err
	}
	source, err := docker.AppendDistributionSourceLabel(store, in.request.ref)
	if err != nil {
		return nil, err
	}
	keep := images.ChildGCLabels
	if in.how.discard {
		// containerd's garbage collection may then take the layers.
		keep = images.ChildGCLabelsFilterLayers
	}
	children := images.SetChildrenMappedLabels(store, images.ChildrenHandler(store), keep)
	children = images.LimitManifests(images.FilterPlatforms(children, platforms.Default()), platforms.Default(), 1)
	var handler images.Handler = images.Handlers(
		remotes.FetchHandler(store, fetcher),
		images.HandlerFunc(func(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if desc.MediaType == docker.LegacyConfigMediaType {
				old.Store(true)
			}
			return nil, nil
		}),
		children,
		images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if store.has(desc.Digest) {
				return nil, nil
			}
			return source(ctx, desc)
		}),
	)
	if in.how.annotations {
		handler = snapshotters.AppendInfoHandlerWrapper(in.request.ref)(handler)
	}
	return handler, nil
}

// labelling returns containerd's content store, which labels fetched blobs with their
// source as they are committed.
func (in *delivery) labelling() (*ingester, error) {
	// As in docker.AppendDistributionSourceLabel, which labels blobs that are there
	// already.
	u, err := url.Parse("dummy://" + in.request.registry)
	if err != nil {
		return nil, err
	}
	key, value := labels.LabelDistributionSource+"."+u.Hostname(), reference.Path(in.request.named)
	if labels.Validate(key, value) != nil {
		return in.target.content, nil // too long for a label
	}
	return in.target.content.labelling(map[string]string{key: value}), nil
}

// unpacker returns an unpacker for a snapshotter. Layers are fetched in the order in
// which it unpacks them.
func (in *delivery) unpacker(ctx context.Context, snapshotter string) (*unpack.Unpacker, error) {
	client := in.target.client
	platform := unpack.Platform{
		Platform:       platforms.All,
		SnapshotterKey: snapshotter,
		Snapshotter:    client.SnapshotService(snapshotter),
		Applier:        client.DiffService(),
		ApplyOpts:      in.applyOptions(),
	}
	// Accept a configuration of old clients, too: otherwise its layers are not even
	// fetched.
	old := platform
	old.ConfigType = docker.LegacyConfigMediaType
	return unpack.NewUnpacker(ctx, in.target.content,
		unpack.WithUnpackPlatform(platform),
		unpack.WithUnpackPlatform(old),
		unpack.WithDuplicationSuppressor(&in.target.unpacks),
		unpack.WithLimiter(in.limiter()),
	)
}

func (in *delivery) applyOptions() []diff.ApplyOpt {
	if !in.how.decrypts {
		return nil
	}
	return []diff.ApplyOpt{in.withDecryption}
}
