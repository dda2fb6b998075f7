package imageservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// transferService is how containerd's transfer service pulls, which CRI uses since
// containerd 2.1.
type transferService struct {
	// there is set if containerd has one that can be used.
	there                       bool
	downloads, layerFetchBuffer int
	// snapshotters are those that it unpacks into.
	snapshotters []string
}

// defaultTransferService returns how it pulls unless it is configured.
func defaultTransferService() transferService {
	return transferService{downloads: defaultDownloads, snapshotters: []string{defaults.DefaultSnapshotter}}
}

// suits reports whether a pull by containerd's transfer service has the settings in
// effect.
func (c *configuration) suits(snapshotter string) bool {
	t := c.transfer
	return t.there && !c.annotations && !c.discard && c.downloads == t.downloads &&
		c.layerFetchBuffer == 0 && t.layerFetchBuffer == 0 && slices.Contains(t.snapshotters, snapshotter)
}

// handOver lets containerd fetch and unpack an image itself, from the loopback registry,
// as CRI's own pulls do. It reports whether that was done. If not, and there is no
// error, the image goes over containerd's socket.
func (in *delivery) handOver(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, snapshotter string) (done bool, err error) {
	d := in.target
	if !in.how.suits(snapshotter) || !d.reached(ctx, in.how) || in.complete(ctx, desc) {
		return false, nil
	}
	o, err := plainImage(ctx, fetcher, in.request.ref, desc)
	if o == nil || err != nil {
		return false, err
	}
	key, withdraw := d.loopback.add(o)
	defer withdraw()
	err = d.transfer(ctx, key, in.byDigest(desc), image.NewStore(in.request.ref,
		image.WithPlatforms(o.platform), image.WithUnpack(platforms.DefaultSpec(), snapshotter),
		image.WithImageLabels(in.allLabels(ctx))))
	switch {
	case err == nil:
		unpacked, err := containerd.NewImage(d.client, images.Image{Target: desc}).IsUnpacked(ctx, snapshotter)
		return unpacked, err
	case o.failure() != nil:
		return false, o.failure()
	case errdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "initialize unpacker"):
		// Its transfer service unpacks into other snapshotters than is known here. What
		// else it says may be a verifier's: no other way must be tried then.
		return false, nil
	}
	return false, fmt.Errorf("containerd's pull of %s from %s: %w", in.request.ref, in.request.registry, err)
}

// complete reports whether containerd has all parts of an image: nothing is left to fetch.
// A converted image is complete, and is nowhere else.
func (in *delivery) complete(ctx context.Context, desc ocispec.Descriptor) bool {
	found, _, _, missing, err := images.Check(ctx, in.target.client.ContentStore(), desc, platforms.Default())
	return err == nil && found && len(missing) == 0
}

// allLabels returns CRI's labels and those that somebody has added to the image's name:
// the transfer service keeps no others.
func (in *delivery) allLabels(ctx context.Context) map[string]string {
	all := in.how.labels(in.request.ref)
	record, err := in.target.client.ImageService().Get(ctx, in.request.ref)
	if err != nil {
		return all // most often it is not there
	}
	labels := maps.Clone(record.Labels)
	if labels == nil {
		return all
	}
	maps.Copy(labels, all)
	return labels
}

// byDigest returns the reference with the digest that it resolves to: whatever answers
// containerd, it takes no other image.
func (in *delivery) byDigest(desc ocispec.Descriptor) string {
	if byDigest := in.request.named.Name() + "@" + desc.Digest.String(); byDigest == in.request.ref {
		return byDigest
	}
	return in.request.ref + "@" + desc.Digest.String()
}
