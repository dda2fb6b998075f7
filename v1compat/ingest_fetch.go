package v1compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fetch fetches one entry's layer into the store.
type fetch struct {
	*conversion
	entry *Entry
	fp    fingerprint

	feed
	retries retries
	damaged int // how often the layer's bytes were damaged
	// reported is the offset reported last, and told is when.
	reported int64
	told     time.Time
}

// run fetches the layer until it is stored or fails for good.
func (f *fetch) run(ctx context.Context) (outcome, error) {
	out, done, err := resumption{f}.resume(ctx)
	var stream *LayerStream
	for !done {
		if stream == nil {
			if stream, err = f.openAt(ctx, 0); err != nil {
				break
			}
		}
		out, err = f.once(ctx, stream)
		err, stream = f.blame(err), nil
		var again *restartError
		ok := errors.As(err, &again)
		switch {
		case ok:
			stream = again.stream
		case f.mayRefetch(err):
			f.warn(fmt.Errorf("layer %s: fetching it again: %w", f.entry.ID, err))
		default:
			done = true
		}
	}
	if err != nil {
		return outcome{}, err
	}
	f.progress(Progress{
		ID: f.entry.ID, Ref: f.ref(), Offset: f.at, Total: f.at, Done: true, Digest: out.desc.Digest,
	})
	return out, nil
}

// blame adds the source of the bytes to an error about them. A request's error names
// it already.
func (f *fetch) blame(err error) error {
	damaged := errors.As(err, new(*corruptError))
	large := errors.As(err, new(*limitError))
	knows := errors.As(err, new(*Error))
	if f.wrap == nil || knows || !damaged && !large && !errors.Is(err, errPage) {
		return err
	}
	return f.wrap(err)
}

// mayRefetch reports whether an error may come from damage in transit, and the layer
// has not been fetched a second time yet.
func (f *fetch) mayRefetch(err error) bool {
	if !errors.As(err, new(*corruptError)) {
		return false
	}
	f.damaged++
	return f.damaged == 1
}

// once fetches the whole layer from the beginning, with which stream starts.
func (f *fetch) once(ctx context.Context, stream *LayerStream) (outcome, error) {
	f.feed = newFeed(stream)
	f.report(f.at, true)
	check := newVerifier(f.entry)
	w := &blobWriter{store: f.Store, ref: f.ref()}
	release := func() {}
	defer func() { release() }()
	in := &intake{limits: f.Limits, guard: bombGuard{image: &f.all}, sum: check.writer(), open: func(p plan) (io.Writer, error) {
		if p.large {
			var err error
			if release, err = largeWindows.acquire(ctx, f.img.Registry); err != nil {
				release = func() {}
				return nil, err
			}
		}
		if len(p.peel) > 0 {
			w.ref, w.rewrites = refRewrite+string(f.fp), true
		}
		return w, w.open(ctx)
	}}
	if err := f.copy(ctx, stream, in.write); err != nil {
		err = in.abort(err)
		w.leave(ctx, err, resumption{f}.sound())
		return outcome{}, f.cutShort(err)
	}
	got, err := in.close()
	if err == nil {
		err = f.plausible()
	}
	if err == nil {
		err = check.check()
	}
	if err != nil || got.empty {
		w.abandon(ctx)
		return outcome{empty: true}, f.cutShort(err)
	}
	if got.warning != nil {
		f.warn(fmt.Errorf("layer %s: %w", f.entry.ID, got.warning))
	}
	return f.commit(ctx, w, got)
}

// plausible refuses an empty body in place of a layer announced as not empty, unless
// the answer declared its length.
func (f *fetch) plausible() error {
	if f.at == 0 && f.total < 0 && f.entry.Size > 0 {
		return fmt.Errorf("no bytes of %d announced: %w", f.entry.Size, io.ErrUnexpectedEOF)
	}
	return nil
}

// cutShort turns a premature end into a restart if the layer's length is unknown.
func (f *fetch) cutShort(err error) error {
	if f.total < 0 && errors.Is(err, io.ErrUnexpectedEOF) && f.retries.left() {
		return &restartError{err: err}
	}
	return err
}

// commit commits the layer's blob, which the store may hold already.
func (f *fetch) commit(ctx context.Context, w *blobWriter, got inspection) (outcome, error) {
	labels := map[string]string{labelUncompressed: string(got.diffID), f.source.knownLabel(): string(f.fp)}
	// Digests other than SHA-256 were checked on the way in. containerd's store
	// supports others since 2.3, but the image must have the same digest in every
	// store.
	var expected digest.Digest
	if !w.rewrites && f.entry.Digest != "" && f.entry.Digest.Algorithm() == digest.SHA256 {
		expected = f.entry.Digest
	}
	dgst, err := w.commit(ctx, expected, f.source.labels(labels))
	if err != nil {
		return outcome{}, err
	}
	if err := f.arrived(ctx, dgst, w.existed); err != nil {
		return outcome{}, err
	}
	out := got.outcome(ocispec.Descriptor{Digest: dgst, Size: w.size})
	return out, f.label(ctx, dgst, f.layerLabels(out, f.fp))
}
