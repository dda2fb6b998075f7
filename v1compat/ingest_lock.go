package v1compat

import (
	"context"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
)

// Prefixes of a layer's ingest references: refLock holds no content; refLayer is the
// layer as received and includes its version, so a later conversion can continue it;
// refRewrite is a layer that is stored in another compression.
const (
	refLock    = "certsd-v1-lock-"
	refLayer   = "certsd-v1-layer-"
	refRewrite = "certsd-v1-rewrite-"
)

// layerLock serializes conversions that want the same layer.
type layerLock struct{ *fetch }

// lock keeps other conversions, including those of other processes with the same
// store, from fetching the layer at the same time. waited reports that one did.
func (f layerLock) lock(ctx context.Context) (release func(), waited bool, err error) {
	ref := refLock + string(f.fp)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		w, err := f.Store.Writer(ctx, content.WithRef(ref))
		if err == nil {
			return func() { drop(ctx, f.Store, w, ref) }, waited, nil
		}
		if !errdefs.IsUnavailable(err) {
			return nil, false, err
		}
		waited = true
		f.watch(ctx)
		if err := f.wait(ctx, pause); err != nil {
			return nil, false, err
		}
	}
}

// watch reports another conversion's progress with the layer.
func (f layerLock) watch(ctx context.Context) {
	if f.Hooks.OnProgress == nil {
		return
	}
	for _, s := range f.unfinished(ctx) {
		f.progress(Progress{ID: f.entry.ID, Ref: s.Ref, Offset: s.Offset, Total: -1})
	}
}

// unfinished lists the layer's unfinished ingests in the store. containerd's local
// store fails a listing while any other ingest is being moved into place, as those of
// the image's other layers are.
func (f layerLock) unfinished(ctx context.Context) []content.Status {
	for range maxListings {
		list, err := f.Store.ListStatuses(ctx, "ref~="+strconv.Quote("^"+refLayer+string(f.fp)+"-"))
		if err == nil {
			return list
		}
		if f.wait(ctx, listingPause) != nil {
			break
		}
	}
	return nil // nothing to continue
}

// An unfinished layer is worth a second of waiting: without it, the layer is fetched
// from its beginning.
const (
	maxListings  = 50
	listingPause = 20 * time.Millisecond
)

// drop gives up an ingest. It removes the content before it releases the lock:
// otherwise another writer could have begun in between.
func drop(ctx context.Context, store content.Store, w content.Writer, ref string) {
	ctx = context.WithoutCancel(ctx)
	_ = store.Abort(ctx, ref)
	_ = w.Close()
}

func (c *Converter) progress(p Progress) {
	if c.Hooks.OnProgress != nil {
		c.Hooks.OnProgress(p)
	}
}
