package v1compat

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// outcome is the result of converting an entry's layer.
type outcome struct {
	// empty reports whether the entry has no layer, or one without content; the other
	// fields are unset then.
	empty bool
	// desc describes the layer as in the manifest: media type, digest and size.
	desc ocispec.Descriptor
	// diffID is the digest of the layer when decompressed.
	diffID digest.Digest
}

// layers stores all layers, several at a time. Entries with the same layer share one
// blob.
func (v *conversion) layers(ctx context.Context) ([]outcome, error) {
	outcomes := make([]outcome, len(v.img.Entries))
	first := map[fingerprint]int{}
	// Not errgroup's own context: its cause, one layer's error, would be reported as
	// the failure of the requests for the others.
	gctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed sync.Once
	var failure error
	var group errgroup.Group
	group.SetLimit(v.downloads())
	for i := range v.img.Entries {
		e := &v.img.Entries[i]
		if e.Throwaway {
			outcomes[i].empty = true
			continue
		}
		fp := v.source.fingerprint(e)
		if _, ok := first[fp]; ok {
			continue
		}
		first[fp] = i
		group.Go(func() (err error) {
			if outcomes[i], err = v.traced(gctx, e, fp); err != nil {
				failed.Do(func() {
					failure = fmt.Errorf("layer %s: %w", e.ID, advised(err))
					cancel()
				})
			}
			return nil
		})
	}
	if _ = group.Wait(); failure != nil {
		return nil, failure
	}
	for i := range v.img.Entries {
		if e := &v.img.Entries[i]; !e.Throwaway {
			outcomes[i] = outcomes[first[v.source.fingerprint(e)]]
		}
	}
	return outcomes, nil
}

// traced calls layer and reports it to the OnLayer hook.
func (v *conversion) traced(ctx context.Context, e *Entry, fp fingerprint) (outcome, error) {
	if v.Hooks.OnLayer == nil {
		out, _, err := v.layer(ctx, e, fp)
		return out, err
	}
	ctx, ended := v.Hooks.OnLayer(ctx, e.ID)
	out, known, err := v.layer(ctx, e, fp)
	ended(LayerEnd{Known: known, Descriptor: out.desc, Err: err})
	return out, err
}

// layer stores one entry's layer, unless it finds it in the store.
func (v *conversion) layer(ctx context.Context, e *Entry, fp fingerprint) (out outcome, known bool, err error) {
	stored := recaller{v}
	out, known, err = stored.recall(ctx, e, fp, false)
	if known || err != nil {
		return out, known, err
	}
	f := &fetch{conversion: v, entry: e, fp: fp}
	release, waited, err := layerLock{f}.lock(ctx)
	if err != nil {
		return outcome{}, false, err
	}
	defer release()
	// Another conversion may have fetched it in the meantime.
	if out, known, err = stored.recall(ctx, e, fp, waited); known || err != nil {
		return out, known, err
	}
	if v.Limiter != nil {
		if err := v.Limiter.Acquire(ctx, 1); err != nil {
			return outcome{}, false, err
		}
		defer v.Limiter.Release(1)
	}
	if out, known, err = f.granted(ctx); known || err != nil {
		return out, known, err
	}
	out, err = f.run(ctx)
	return out, false, err
}
