package v1compat

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// outcome is what became of an entry's layer.
type outcome struct {
	// empty tells that the entry has no layer, or one without content; the rest
	// is unset then.
	empty bool
	// desc has media type, digest and size as in the manifest.
	desc ocispec.Descriptor
	// diffID is the digest of the layer when decompressed.
	diffID digest.Digest
}

// layers brings all layers into the store, several at a time. Entries with the
// same layer share one.
func (v *conversion) layers(ctx context.Context) ([]outcome, error) {
	outcomes := make([]outcome, len(v.img.Entries))
	first := map[fingerprint]int{}
	group, gctx := errgroup.WithContext(ctx)
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
			if outcomes[i], err = v.layer(gctx, e, fp); err != nil {
				return fmt.Errorf("layer %s: %w", e.ID, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range v.img.Entries {
		if e := &v.img.Entries[i]; !e.Throwaway {
			outcomes[i] = outcomes[first[v.source.fingerprint(e)]]
		}
	}
	return outcomes, nil
}

// layer brings one entry's layer into the store, or finds it there.
func (v *conversion) layer(ctx context.Context, e *Entry, fp fingerprint) (outcome, error) {
	out, ok, err := v.recall(ctx, e, fp, false)
	if ok || err != nil {
		return out, err
	}
	f := &fetch{conversion: v, entry: e, fp: fp}
	release, waited, err := f.lock(ctx)
	if err != nil {
		return outcome{}, err
	}
	defer release()
	// Another conversion may have fetched it in the meantime.
	if out, ok, err = v.recall(ctx, e, fp, waited); ok || err != nil {
		return out, err
	}
	if v.Limiter != nil {
		if err := v.Limiter.Acquire(ctx, 1); err != nil {
			return outcome{}, err
		}
		defer v.Limiter.Release(1)
	}
	return f.run(ctx)
}
