package imageservice

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/v1compat"
)

// progressWatch ends a pull that has requests under way and gets nothing, as CRI
// does with its own.
type progressWatch struct {
	ref     string
	timeout time.Duration
	//nolint:containedctx // it is that of the pull
	ctx    context.Context
	cancel context.CancelCauseFunc
	// active are the requests under way, received the bytes so far.
	active   atomic.Int64
	received atomic.Int64
}

// noProgressError is a pull that was ended because nothing came.
type noProgressError struct {
	Ref     string
	Timeout time.Duration
}

// Error says which setting to change if the slow pull is no fault.
func (e *noProgressError) Error() string {
	return fmt.Sprintf("pull %s: the registry has sent nothing for %s: a slower one needs a longer image_pull_progress_timeout", e.Ref, e.Timeout)
}

// longestLook is the time between two looks at the progress.
const longestLook = 10 * time.Second

// watchProgress watches what is done with the context it returns, until end is
// called. A timeout of zero is no limit.
func watchProgress(ctx context.Context, ref string, timeout time.Duration) (context.Context, *progressWatch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &progressWatch{ref: ref, timeout: timeout, ctx: ctx, cancel: cancel}
	if timeout > 0 {
		go w.watch()
	}
	return ctx, w
}

func (w *progressWatch) watch() {
	tick := time.NewTicker(min(longestLook, w.timeout/2))
	defer tick.Stop()
	seen, since, idle := w.received.Load(), time.Now(), true
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		now, wasIdle := w.received.Load(), idle
		idle = w.active.Load() == 0
		// The time begins with the first look at a request, not with the last one
		// at none.
		if now != seen || idle || wasIdle {
			seen, since = now, time.Now()
			continue
		}
		if time.Since(since) >= w.timeout {
			w.cancel(&noProgressError{Ref: w.ref, Timeout: w.timeout})
			return
		}
	}
}

// end ends the watch. The error of a pull that it has ended, or somebody else,
// becomes the cause.
func (w *progressWatch) end(err error) error {
	defer w.cancel(nil)
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// conversion counts the layers of an image that is converted.
func (w *progressWatch) conversion(v1compat.Progress) { w.received.Add(1) }

// transport counts requests and what they bring.
func (w *progressWatch) transport(next http.RoundTripper) http.RoundTripper {
	return &counted{next: next, watch: w}
}

type counted struct {
	next  http.RoundTripper
	watch *progressWatch
}

// RoundTrip implements http.RoundTripper.
func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	c.watch.active.Add(1)
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		c.watch.active.Add(-1)
		return nil, err
	}
	c.watch.received.Add(1)
	resp.Body = &countedBody{ReadCloser: resp.Body, watch: c.watch}
	return resp, nil
}

type countedBody struct {
	io.ReadCloser
	watch  *progressWatch
	closed atomic.Bool
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.received.Add(int64(n))
	return n, err
}

// Close implements io.Closer.
func (b *countedBody) Close() error {
	if !b.closed.Swap(true) {
		b.watch.active.Add(-1)
	}
	return b.ReadCloser.Close()
}
