package v1compat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Converter turns an [Image] into an OCI image in a content store. Only Store is
// required. A Converter may be used concurrently as long as its fields stay
// unchanged, even for the same image: each layer is then fetched once.
//
// The result is deterministic: it depends only on the image's JSONs and layers, so
// the same image has the same manifest digest everywhere. A layer already in the
// store is not fetched again while the server announces the same id, JSON, size and
// checksums for it. If the server replaced the layer without changing any of these,
// that store keeps using the old one.
//
// gzip, zstd and plain tar layers keep their bytes; xz and bzip2 become plain tar; a
// layer compressed twice loses the outer compression; a layer that is empty when
// decompressed is dropped and marked so in its history entry.
type Converter struct {
	// Store receives layers and config and, once all of them are stored, the
	// manifest. All calls use the context given to Convert, so its lease and
	// namespace apply. Blobs carry containerd's labels for garbage collection, for
	// the uncompressed digest and for the source. A store without labels works, but
	// then known layers are fetched again.
	Store content.Store
	// MaxConcurrentDownloads is how many layers one Convert fetches at a time; zero
	// means 3.
	MaxConcurrentDownloads int
	// Limiter, if set, is acquired with weight 1 for each download, to share a
	// limit among several conversions: a *semaphore.Weighted, say.
	Limiter Limiter
	// Hooks observe the conversion.
	Hooks Hooks
	// Limits bound what a registry can make the converter do.
	Limits ConvertLimits

	// sleep waits for d; nil is a timer. Tests replace it.
	sleep func(ctx context.Context, d time.Duration) error
}

// Limiter bounds concurrent downloads.
type Limiter interface {
	Acquire(ctx context.Context, weight int64) error
	Release(weight int64)
}

// ConvertLimits bound what a registry can make the converter do. Zero fields take the
// defaults given below.
type ConvertLimits struct {
	// Entries is the longest history: 256.
	Entries int
	// Config is the largest OCI config in bytes: 8 MiB, the most that clients read.
	Config int
	// Layer is the largest layer as received, in bytes: 64 GiB.
	Layer int64
	// Unpacked is the largest layer when decompressed, in bytes: 128 GiB.
	Unpacked int64
	// Ratio is how many times decompression may enlarge a layer, or all fetched
	// layers of an image together, once they exceed 1 GiB: 1100. The deflate format
	// reaches 1032.
	Ratio int64
}

func (l ConvertLimits) entries() int    { return cmp.Or(l.Entries, 256) }
func (l ConvertLimits) config() int     { return cmp.Or(l.Config, 8<<20) }
func (l ConvertLimits) layer() int64    { return cmp.Or(l.Layer, 64<<30) }
func (l ConvertLimits) unpacked() int64 { return cmp.Or(l.Unpacked, 128<<30) }
func (l ConvertLimits) ratio() int64    { return cmp.Or(l.Ratio, 1100) }

// Convert stores the image and returns its manifest's descriptor. The manifest is
// written last. If Convert fails, partly fetched layers stay in the store as
// unfinished ingests, which a later conversion continues where that is safe.
//
// Errors name the image and the layer. They are errdefs.ErrInvalidArgument for an
// image that cannot be converted, and otherwise what Entry.Open or the store
// returned.
func (c *Converter) Convert(ctx context.Context, img *Image) (ocispec.Descriptor, error) {
	v := &conversion{Converter: c, img: img, source: newSource(img.origin())}
	desc, err := v.run(ctx)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("convert %s/%s: %w", img.Registry, img.Repository, err)
	}
	return desc, nil
}

// conversion is one call of Convert.
type conversion struct {
	*Converter
	img    *Image
	source source
	docs   []*document
	known  memory
	// all counts the bytes of all fetched layers, as received and decompressed.
	all bombGuard
	// damaged holds the digests of stored blobs that did not match them.
	damaged sync.Map
}

func (v *conversion) run(ctx context.Context) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	if v.Store == nil {
		return none, errors.New("the converter has no store")
	}
	var err error
	if v.docs, err = readDocuments(v.img, v.Limits.entries()); err != nil {
		return none, &UnusableError{err}
	}
	layers, err := v.layers(ctx)
	if err != nil {
		return none, err
	}
	empties := v.emptyFingerprints(layers)
	if layers, err = v.keepOne(ctx, layers); err != nil {
		return none, err
	}
	return v.write(ctx, layers, empties)
}

func (c *Converter) warn(err error) {
	if c.Hooks.OnWarning != nil {
		c.Hooks.OnWarning(err)
	}
}

func (c *Converter) downloads() int {
	if c.MaxConcurrentDownloads < 1 {
		return 3
	}
	return c.MaxConcurrentDownloads
}

// wait sleeps for d unless ctx ends first.
func (c *Converter) wait(ctx context.Context, d time.Duration) error { return wait(ctx, d, c.sleep) }
