package v1compat

import (
	"context"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
)

// Ingest references of a layer: a lock, which holds no content, and its bytes.
// Those of a layer stored as received name the version of the layer; what a
// later conversion finds there can be continued.
const (
	refLock    = "certsd-v1-lock-"
	refLayer   = "certsd-v1-layer-"
	refRewrite = "certsd-v1-rewrite-"
)

// layerLock keeps conversions apart that want the same layer.
type layerLock struct{ *fetch }

// lock keeps other conversions, also of other processes with the same store,
// from fetching the layer at the same time. waited reports that one did.
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

// watch reports the progress of another conversion with the layer.
func (f layerLock) watch(ctx context.Context) {
	if f.Hooks.OnProgress == nil {
		return
	}
	for _, s := range f.unfinished(ctx) {
		f.progress(Progress{ID: f.entry.ID, Ref: s.Ref, Offset: s.Offset, Total: -1})
	}
}

// unfinished lists what is in the store of the layer, as received. containerd's
// local store fails a listing for as long as some other ingest is on its way
// into place, as those of the image's other layers are.
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

// What is in the store of a layer is worth a second of waiting: the layer would
// be fetched from its beginning.
const (
	maxListings  = 50
	listingPause = 20 * time.Millisecond
)

// drop gives an ingest up. First the content, then the lock on it: in between
// another could have begun.
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
