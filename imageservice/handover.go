package imageservice

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
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
	if !in.target.reached(ctx, in.how) {
		return false, nil
	}
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	var o *offer
	if in.how.suits(snapshotter) && in.target.loopback.requests.Load() < int64(in.how.transfer.downloads) {
		// Otherwise it would wait for the pulls of others, whose registries may be slow.
		if o, err = plainImage(during, cancel, in.source(fetcher), desc); err != nil {
			return false, err
		}
	}
	if o == nil {
		return false, in.verify(ctx, desc)
	}
	waited := make(chan bool, 1)
	go func() { waited <- in.watchWaiting(during, o) }()
	err = in.transfer(during, o, desc, image.NewStore(in.request.ref,
		image.WithPlatforms(o.platform), image.WithUnpack(platforms.DefaultSpec(), snapshotter),
		image.WithImageLabels(in.allLabels(ctx))))
	if isNoUnpacker(err) {
		// It unpacks into other snapshotters than is known here.
		return false, nil
	}
	if err != nil {
		cancel()
		if <-waited {
			return false, nil // for others
		}
		return false, err
	}
	return containerd.NewImage(in.target.client, images.Image{Target: desc}).IsUnpacked(ctx, snapshotter)
}

func (in *delivery) source(fetcher remotes.Fetcher) source {
	return source{ref: in.request.ref, fetcher: fetcher, store: in.target.client.ContentStore()}
}

// transfer lets containerd fetch an offer.
func (in *delivery) transfer(ctx context.Context, o *offer, desc ocispec.Descriptor, into *image.Store) error {
	key, withdraw := in.target.loopback.add(o)
	defer withdraw()
	err := in.target.transfer(ctx, key, in.byDigest(desc), into)
	if o.failure() != nil {
		return o.failure()
	}
	if err != nil && !isNoUnpacker(err) {
		err = fmt.Errorf("containerd's pull of %s from %s: %w", in.request.ref, in.request.registry, err)
	}
	return err
}

// transfer lets containerd fetch the image that was offered with a key. It knows of no other
// server.
func (d *target) transfer(ctx context.Context, key, ref string, into *image.Store) error {
	if err := d.loopback.writeHosts(); err != nil {
		return err
	}
	from, err := registry.NewOCIRegistry(ctx, ref, registry.WithHostDir(d.loopback.dir),
		registry.WithHeaders(http.Header{keyHeader: {keyPrefix + key}}))
	if err != nil {
		return err
	}
	return d.client.Transfer(ctx, from, into)
}

// isNoUnpacker reports whether a transfer has ended because containerd has no snapshotter
// of the wanted name, after its image verifiers have agreed and before anything is
// fetched.
func isNoUnpacker(err error) bool {
	return errdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "initialize unpacker")
}

// nowhere is the name of a snapshotter that containerd does not have, for its log.
const nowhere = "none: certsd cri only asks the image verifiers"

// verify has containerd's image verifiers judge an image that goes over the socket, past
// them: nobody may evade them by what an image consists of.
func (in *delivery) verify(ctx context.Context, desc ocispec.Descriptor) error {
	o := &offer{documents: map[digest.Digest]document{desc.Digest: {mediaType: desc.MediaType, size: desc.Size}}}
	err := in.transfer(ctx, o, desc, image.NewStore(in.request.ref, image.WithUnpack(platforms.DefaultSpec(), nowhere)))
	if isNoUnpacker(err) {
		return nil
	}
	return err
}

// allLabels returns CRI's labels and those that somebody has added to the image's name:
// the transfer service keeps no others.
func (in *delivery) allLabels(ctx context.Context) map[string]string {
	all := map[string]string{}
	// Most often it is not there.
	if record, err := in.target.client.ImageService().Get(ctx, in.request.ref); err == nil {
		maps.Copy(all, record.Labels)
	}
	maps.Copy(all, in.how.labels(in.request.ref))
	return all
}

// byDigest returns the reference with the digest that it resolves to, which is another
// than its own if the image was converted: whatever answers containerd, it takes no other
// image.
func (in *delivery) byDigest(desc ocispec.Descriptor) string {
	name := in.request.named.Name()
	if tagged, ok := in.request.named.(reference.Tagged); ok {
		name += ":" + tagged.Tag()
	}
	return name + "@" + desc.Digest.String()
}
