package imageservice

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
)

// there returns the image if it is already complete and its registry confirms it for
// these credentials. It writes nothing. In every other case, including errors, the
// image must be pulled.
func (in *delivery) there(ctx context.Context) (pulledImage, bool) {
	ref, labels := in.request.ref, in.how.labels(in.request.ref)
	record, err := in.target.client.ImageService().Get(ctx, ref)
	if err != nil {
		return pulledImage{}, false
	}
	watched, watch := watchProgress(ctx, ref, in.how.progressTimeout)
	_, resolved, err := in.resolver(watched, watch, true).Resolve(watched, ref)
	if watch.end(err) != nil || resolved.Digest != record.Target.Digest {
		return pulledImage{}, false
	}
	snapshotter := in.how.snapshotterFor(in.request.handler)
	image := containerd.NewImage(in.target.client, record)
	if ok, err := image.IsUnpacked(ctx, snapshotter); err != nil || !ok {
		return pulledImage{}, false
	}
	config, err := image.Config(ctx)
	if err != nil {
		return pulledImage{}, false
	}
	found := pulledImage{ID: config.Digest.String(), Digest: record.Target.Digest.String(), Snapshotter: snapshotter}
	return found, in.named(ctx, found, images.Image{Target: record.Target, Labels: labels})
}

// named reports whether an image has all its names.
func (in *delivery) named(ctx context.Context, image pulledImage, want images.Image) bool {
	for _, name := range in.request.names(image) {
		record, err := in.target.client.ImageService().Get(ctx, name)
		if err != nil || len(changes(record, want)) > 0 {
			return false
		}
	}
	return true
}
