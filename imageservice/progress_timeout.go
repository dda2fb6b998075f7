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

// progressWatch ends a pull whose requests receive nothing, as CRI does with its own
// pulls.
type progressWatch struct {
	ref     string
	timeout time.Duration
	//nolint:containedctx // it is that of the pull
	ctx    context.Context
	cancel context.CancelCauseFunc
	// active is the number of requests under way, received grows with whatever they
	// receive.
	active   atomic.Int64
	received atomic.Int64
}

// noProgressError reports that a pull was ended because it received nothing.
type noProgressError struct {
	Ref     string
	Timeout time.Duration
}

// Error names the setting to change if the registry is just slow.
func (e *noProgressError) Error() string {
	return fmt.Sprintf("pull %s: the registry has sent nothing for %s: a slower one needs a longer image_pull_progress_timeout", e.Ref, e.Timeout)
}

// longestLook is the longest time between two checks of the progress.
const longestLook = 10 * time.Second

// watchProgress watches a pull made with the returned context until end is called. A
// timeout of zero means no limit.
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
		// The time starts at the first check that sees a request, not at the last one
		// that saw none.
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

// end ends the watch. If the context was cancelled, by the watch or a caller, it
// returns the cause instead of err.
func (w *progressWatch) end(err error) error {
	defer w.cancel(nil)
	if err != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// conversion counts a step in the conversion of an image as progress.
func (w *progressWatch) conversion(v1compat.Progress) { w.received.Add(1) }

// transport counts requests and the bytes they receive.
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
