package v1compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// feed records how much of a layer was received, and of which version.
type feed struct {
	at        int64 // bytes received
	total     int64 // of the layer, or -1
	validator string
	wrap      func(error) error // of the last answer, or nil
}

func newFeed(s *LayerStream) feed {
	return feed{total: s.Total, validator: s.Validator, wrap: s.Wrap}
}

// version identifies the version that later answers must have to continue this one.
func (f *feed) version() string {
	return strconv.FormatInt(f.total, 10) + "-" + string(newFingerprint("validator", f.validator))
}

// partOf reports whether n bytes can be the beginning of the layer that an ingest
// reference names.
func (f *fetch) partOf(ref string, n int64) bool {
	version, ok := strings.CutPrefix(ref, refLayer+string(f.fp)+"-")
	total, _, _ := strings.Cut(version, "-")
	size, err := strconv.ParseInt(total, 10, 64)
	return ok && err == nil && 0 < n && n <= size
}

// restartError reports that a layer must be fetched from the beginning. There may be
// a stream for it already.
type restartError struct {
	err    error
	stream *LayerStream
}

func (e *restartError) Error() string { return e.err.Error() }
func (e *restartError) Unwrap() error { return e.err }

// sinkError is an error of the bytes' destination, not of their source.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

// copy passes the layer's bytes on, from stream and, whenever the connection is cut,
// from the stream that replaces it, until the layer is complete.
func (f *fetch) copy(ctx context.Context, stream *LayerStream, to func(*chunk) error) error {
	defer func() { _ = stream.Close() }()
	skip := int64(0)
	for {
		c := newChunk()
		cut := f.fill(stream, c, skip)
		if n := min(skip, int64(c.n)); n > 0 { // received before
			c.n = copy(c.buf[:], c.buf[n:c.n])
			skip -= n
		}
		f.at += int64(c.n)
		if c.n == 0 {
			c.free()
		} else if err := to(c); err != nil {
			return &sinkError{err}
		}
		f.report(f.at, false)
		switch {
		case f.total >= 0 && f.at >= f.total: // the transport may complain at the end
			return nil
		case cut == nil:
			continue
		case cut == io.EOF && f.total < 0:
			return nil
		}
		_ = stream.Close()
		next, again, err := f.reopen(ctx, cut)
		if err != nil {
			return err
		}
		stream, skip, f.wrap = next, again, next.Wrap
	}
}

// fill reads a chunk, less at the end or at a cut. The first skip bytes do not count
// as progress.
func (f *fetch) fill(stream *LayerStream, c *chunk, skip int64) error {
	for c.n < len(c.buf) {
		n, err := stream.Read(c.buf[c.n:])
		c.n += n
		f.report(f.at+max(0, int64(c.n)-skip), false)
		if err != nil {
			return err
		}
	}
	return nil
}

// reopen requests the rest of the layer after a cut. It also returns how many bytes
// of the answer to skip, if the server starts over with the same version.
func (f *fetch) reopen(ctx context.Context, cut error) (*LayerStream, int64, error) {
	if cut == io.EOF {
		cut = io.ErrUnexpectedEOF
	}
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	if errors.As(cut, new(*bounded.SlowError)) {
		return nil, 0, cut
	}
	if err := f.retries.pause(ctx, f.Converter, f.at, cut); err != nil {
		return nil, 0, err
	}
	if f.total < 0 {
		return nil, 0, &restartError{err: cut}
	}
	s, err := f.openAt(ctx, f.at)
	if err != nil {
		return nil, 0, err
	}
	changed := s.Total >= 0 && s.Total != f.total || s.Validator != "" && f.validator != "" && s.Validator != f.validator
	switch {
	case s.Start == f.at && !changed:
		return s, 0, nil
	case s.Start == 0 && !changed && s.Validator != "" && s.Total == f.total:
		return s, f.at, nil
	case s.Start == 0:
		return nil, 0, &restartError{err: cut, stream: s}
	}
	_ = s.Close()
	return nil, 0, &restartError{err: fmt.Errorf("the layer has changed: %w", cut)}
}

// openAt requests the layer, and repeats that while it may help.
func (f *fetch) openAt(ctx context.Context, offset int64) (*LayerStream, error) {
	for {
		s, err := f.entry.Open(ctx, offset)
		if err == nil && (s.Start == offset || s.Start == 0) {
			return s, nil
		}
		if err == nil {
			_ = s.Close()
			err = fmt.Errorf("the answer begins at byte %d instead of %d", s.Start, offset)
		}
		if ctx.Err() != nil || final(err) {
			return nil, err
		}
		if perr := f.retries.pause(ctx, f.Converter, offset, err); perr != nil {
			return nil, perr
		}
	}
}

// final reports whether asking again cannot help; with several endpoints, none of
// them.
func final(err error) bool {
	var all endpointsError
	if errors.As(err, &all) {
		return !slices.ContainsFunc(all, func(err error) bool { return !final(err) })
	}
	for _, is := range []func(error) bool{
		errdefs.IsNotFound, errdefs.IsUnauthorized, errdefs.IsPermissionDenied,
		errdefs.IsInvalidArgument, errdefs.IsNotImplemented,
	} {
		if is(err) {
			return true
		}
	}
	var e *Error
	return errors.As(err, &e) && (e.final || e.Status != 0 && !mayPass(e.Status))
}

// reportEvery is the interval at which slow progress is reported, too.
const reportEvery = time.Second

// report reports that bytes up to at were received: at most once per MiB, or once per
// reportEvery where that takes longer, unless forced.
func (f *fetch) report(at int64, force bool) {
	if !force && at-f.reported < 1<<20 && (at == f.reported || time.Since(f.told) < reportEvery) {
		return
	}
	f.reported, f.told = at, time.Now()
	f.progress(Progress{ID: f.entry.ID, Ref: f.ref(), Offset: at, Total: f.total})
}

func (f *fetch) ref() string { return refLayer + string(f.fp) + "-" + f.version() }

// retries bounds the attempts for one layer. A line that is cut again and again is
// tolerated as long as the layer makes progress.
type retries struct {
	waited  time.Duration
	all     int   // attempts after failures
	failed  int   // those since the last progress
	reached int64 // offset of the last progress
}

const (
	maxRetries  = 64
	maxFailures = 6
	// maxPause bounds the total time one layer spends waiting here; whoever opens it
	// may wait in addition.
	maxPause = 18 * time.Second
	// progressed is how many bytes make an attempt a success even if it is cut then.
	progressed = 256 << 10
)

func (r *retries) left() bool { return r.all < maxRetries && r.failed < maxFailures }

// pause waits before another attempt at offset at, or fails with cause.
func (r *retries) pause(ctx context.Context, c *Converter, at int64, cause error) error {
	if at >= r.reached+progressed {
		r.failed, r.reached = 0, at
	}
	r.all++
	r.failed++
	d := time.Duration(0)
	if r.failed > 1 {
		d = min(250*time.Millisecond<<(r.failed-2), 4*time.Second)
	}
	if !r.left() || r.waited+d > maxPause {
		return fmt.Errorf("given up after %d attempts: %w", r.all, cause)
	}
	r.waited += d
	if d == 0 {
		return nil
	}
	return c.wait(ctx, d)
}
