package v1compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// knownLayers holds the layers that earlier conversions from the same registry and
// repository left in the store, by the fingerprints of their entries. A nil Info
// means an entry without content.
type knownLayers map[fingerprint]*content.Info

// recaller finds layers that are in the store already, and verifies them.
type recaller struct{ *conversion }

// findKnown reads the labels that earlier conversions left.
func (v recaller) findKnown(ctx context.Context) (knownLayers, error) {
	known := knownLayers{}
	layer, empty := v.source.knownLabel(), v.source.emptyLabel()
	err := v.Store.Walk(ctx, func(info content.Info) error {
		for _, fp := range splitList(info.Labels[empty]) {
			if _, ok := known[fingerprint(fp)]; !ok {
				known[fingerprint(fp)] = nil
			}
		}
		for _, fp := range splitList(info.Labels[layer]) {
			known[fingerprint(fp)] = &info
		}
		return nil
	}, "labels."+strconv.Quote(layer), "labels."+strconv.Quote(empty))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a local store before its first blob
		return nil, fmt.Errorf("look for known layers: %w", err)
	}
	return known, nil
}

// memory caches the known layers.
type memory struct {
	mu     sync.Mutex // guards the rest
	layers knownLayers
	at     time.Time
	// busy reports whether another conversion is fetching the same layers.
	busy bool
}

// stale is the age at which the known layers are read again, which walks all blobs of
// the store.
const stale = 2 * time.Second

// lookUp finds an entry among the known layers; again reports that another conversion
// has just worked on it.
func (v recaller) lookUp(ctx context.Context, fp fingerprint, again bool) (info *content.Info, ok bool, err error) {
	m := &v.known
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = m.busy || again
	if m.layers == nil || m.busy || time.Since(m.at) > stale {
		layers, err := v.findKnown(ctx)
		if err != nil {
			return nil, false, err
		}
		m.layers, m.at = layers, time.Now()
	}
	info, ok = m.layers[fp]
	return info, ok, nil
}

// recall returns the layer of an entry if this source has left it in the store.
func (v recaller) recall(ctx context.Context, e *Entry, fp fingerprint, again bool) (outcome, bool, error) {
	info, ok, err := v.lookUp(ctx, fp, again)
	if err != nil {
		return outcome{}, false, err
	}
	switch {
	case ok && info == nil:
		v.progress(Progress{ID: e.ID, Done: true, Known: true})
		return outcome{empty: true}, true, nil
	case !ok:
		return outcome{}, false, nil
	}
	return v.take(ctx, e, fp, *info)
}

// errUnusable reports a blob in the store that cannot be a layer as it is.
var errUnusable = fmt.Errorf("not stored as a layer: %w", errdefs.ErrNotFound)

// reuse returns a blob in the store as a layer, after adding it to the context's
// lease: no manifest refers to it yet.
func (v recaller) reuse(ctx context.Context, info content.Info) (outcome, error) {
	desc := ocispec.Descriptor{Digest: info.Digest, Size: info.Size}
	if err := v.lease(ctx, desc); err != nil {
		return outcome{}, err
	}
	ra, err := v.Store.ReaderAt(ctx, desc)
	if err != nil {
		return outcome{}, err
	}
	defer ra.Close()
	ok, err := isIntact(ctx, info, ra)
	switch {
	case err != nil:
		return outcome{}, err
	case !ok:
		return outcome{}, v.forsake(ctx, info.Digest)
	}
	head := make([]byte, min(info.Size, headSize))
	if _, err := ra.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return outcome{}, err
	}
	p, err := planFor(head)
	if err != nil || len(p.peel) > 0 {
		return outcome{}, errUnusable
	}
	desc.MediaType = p.kind.mediaType()
	diffID := digest.Digest(info.Labels[labelUncompressed])
	if p.kind == plain {
		diffID = info.Digest
	}
	if diffID.Validate() == nil && p.content {
		return outcome{desc: desc, diffID: diffID}, nil
	}
	got, err := v.readBack(ctx, ra, nil)
	if err != nil {
		return outcome{}, errUnusable
	}
	return got.outcome(desc), nil
}

// lease adds a blob to the lease in ctx, if there is one, by trying to write
// it. It fails with errdefs.ErrNotFound if the blob is gone.
func (v recaller) lease(ctx context.Context, desc ocispec.Descriptor) error {
	ref := "certsd-v1-known-" + desc.Digest.String()
	w, err := content.OpenWriter(ctx, v.Store, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	drop(ctx, v.Store, w, ref)
	return errUnusable
}

// readBack reads a layer in the store as if it were being received. If sum is not
// nil, the layer's bytes are written to it.
func (v *conversion) readBack(ctx context.Context, ra content.ReaderAt, sum io.Writer) (inspection, error) {
	in := &intake{limits: v.Limits, sum: sum, open: func(p plan) (io.Writer, error) {
		if len(p.peel) > 0 {
			return nil, errUnusable
		}
		return io.Discard, nil
	}}
	r := content.NewReader(ra)
	for {
		c := newChunk()
		n, err := io.ReadFull(r, c.buf[:])
		c.n = n
		if werr := in.write(c); werr != nil {
			return inspection{}, errors.Join(werr, in.abort(werr))
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return in.close()
		case err == nil:
			err = ctx.Err()
		}
		if err != nil {
			return inspection{}, errors.Join(err, in.abort(err))
		}
	}
}

func unlessNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// layerLabels returns the labels of a layer of this source.
func (v *conversion) layerLabels(out outcome, fp fingerprint) map[string]string {
	return v.source.labels(map[string]string{
		labelUncompressed:     out.diffID.String(),
		v.source.knownLabel(): string(fp),
	})
}

// emptyFingerprints lists the entries that were read and found empty.
func (v *conversion) emptyFingerprints(layers []outcome) string {
	var list []string
	for i, layer := range layers {
		if e := &v.img.Entries[i]; layer.empty && !e.Throwaway {
			list = append(list, string(v.source.fingerprint(e)))
		}
	}
	return addRecent("", strings.Join(list, ","), maxLabel-len(v.source.emptyLabel()))
}
