package v1compat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// resumption continues what an earlier fetch has left of a layer.
type resumption struct{ *fetch }

// resume continues what an earlier conversion has left of the layer. done reports
// whether out and err are final; otherwise the layer must be fetched from the
// beginning.
//
// A store does not expose the content of an unfinished blob, so the layer is
// inspected when it is complete, by reading it once more.
func (f resumption) resume(ctx context.Context) (out outcome, done bool, err error) {
	for _, s := range layerLock(f).unfinished(ctx) {
		w, err := f.Store.Writer(ctx, content.WithRef(s.Ref))
		if err != nil {
			continue // in use by somebody else
		}
		status, err := w.Status()
		if err != nil || done || !f.partOf(s.Ref, status.Offset) {
			drop(ctx, f.Store, w, s.Ref)
			continue
		}
		b := &blobWriter{store: f.Store, ref: s.Ref, w: w, size: status.Offset}
		if out, err = f.carryOn(ctx, b); err == nil {
			done = true
			continue // to drop the others
		}
		if ctx.Err() != nil {
			b.close()
			return outcome{}, true, context.Cause(ctx)
		}
		var again *restartError
		if !errors.As(err, &again) {
			b.close()
			return outcome{}, true, err
		}
		if again.stream != nil {
			_ = again.stream.Close()
		}
		b.abandon(ctx)
		f.warn(fmt.Errorf("layer %s: starting over: %w", f.entry.ID, err))
	}
	return out, done, nil
}

// carryOn fetches the rest of a layer and commits it.
func (f resumption) carryOn(ctx context.Context, b *blobWriter) (outcome, error) {
	stream, err := f.openAt(ctx, b.size)
	if err != nil {
		return outcome{}, err
	}
	f.feed = newFeed(stream)
	if stream.Start != b.size || !f.sound() || !strings.HasSuffix(b.ref, f.version()) || f.total < b.size {
		_ = stream.Close()
		return outcome{}, &restartError{err: errors.New("the part that is there cannot be continued")}
	}
	f.at, f.reported, f.retries.reached = b.size, b.size, b.size
	f.report(f.at, true)
	if err := f.copy(ctx, stream, func(c *chunk) error {
		defer c.free()
		_, err := b.Write(c.bytes())
		return err
	}); err != nil {
		return outcome{}, err
	}
	dgst, err := b.commit(ctx, "", f.source.labels(map[string]string{}))
	if err != nil {
		return outcome{}, err
	}
	b.w = nil
	if err := f.arrived(ctx, dgst, b.existed); err != nil {
		return outcome{}, err
	}
	return f.verify(ctx, ocispec.Descriptor{Digest: dgst, Size: b.size}, b.existed)
}

// sound reports whether parts of the layer from different answers may be joined: the
// server names the version, or the whole can be verified.
func (f resumption) sound() bool {
	return f.total > 0 && (f.validator != "" || newVerifier(f.entry).writer() != nil)
}

// verify inspects a layer that was committed without inspection, and removes it if it
// is unusable and was not in the store before.
func (f resumption) verify(ctx context.Context, desc ocispec.Descriptor, existed bool) (outcome, error) {
	ra, err := f.Store.ReaderAt(ctx, desc)
	if err != nil {
		return outcome{}, err
	}
	defer ra.Close()
	check := newVerifier(f.entry)
	got, err := f.readBack(ctx, ra, check.writer())
	if err == nil {
		err = check.check()
	}
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	if (err != nil || got.empty) && !existed {
		f.discardBlob(ctx, desc.Digest)
	}
	if err != nil {
		return outcome{}, &restartError{err: err}
	}
	if got.empty {
		return outcome{empty: true}, nil
	}
	if got.warning != nil {
		f.warn(fmt.Errorf("layer %s: %w", f.entry.ID, got.warning))
	}
	out := got.outcome(desc)
	return out, f.label(ctx, desc.Digest, f.layerLabels(out, f.fp))
}

// discardBlob removes a blob that only this fetch knows: without the uncompressed
// label it is nobody else's layer.
func (f resumption) discardBlob(ctx context.Context, dgst digest.Digest) {
	ctx = context.WithoutCancel(ctx)
	info, err := f.Store.Info(ctx, dgst)
	if err == nil && info.Labels[labelUncompressed] == "" {
		err = f.Store.Delete(ctx, dgst)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		f.warn(fmt.Errorf("layer %s: %w", f.entry.ID, err))
	}
}
