package gateway

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// limited bounds the concurrent requests to registries, and with them the connections:
// see [shares]. Others wait for their turn, but no longer than patience if a client is
// waiting.
type limited struct {
	next     http.RoundTripper
	slots    share
	patience time.Duration
}

var errBusy = &fault{
	status: http.StatusServiceUnavailable, code: codeTooMany, retryAfter: askAgain,
	message: "max_upstream requests to registries are under way, or this registry's share of them, and none ended in time: ask again",
}

type unhurriedKey struct{}

// unhurried lets requests wait for their turn indefinitely: their work has begun and
// would be lost.
func unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// waitsSince returns when a client began to wait: all requests to registries on its
// behalf share one time limit.
func waitsSince(ctx context.Context) time.Time {
	if fl := flightIn(ctx); fl != nil {
		return fl.started
	}
	if began, ok := ctx.Value(hurryKey{}).(time.Time); ok {
		return began
	}
	return time.Now()
}

// acquire waits for a slot.
func (l *limited) acquire(ctx context.Context) error {
	if flightIn(ctx).converting() || ctx.Value(unhurriedKey{}) != nil {
		return l.slots.acquire(ctx, l.slots.who)
	}
	if l.slots.tryAcquire(l.slots.who) {
		return nil
	}
	wait, cancel := context.WithDeadline(ctx, waitsSince(ctx).Add(l.patience))
	defer cancel()
	err := l.slots.acquire(wait, l.slots.who)
	if _, late := isLate(ctx); err != nil && (late || ctx.Err() == nil) {
		return errBusy
	}
	return err
}

// RoundTrip implements http.RoundTripper.
func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.acquire(req.Context()); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := l.next.RoundTrip(req)
	// Only content takes long. An answer that leads to another request must not hold
	// the slot which that request needs.
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices || req.Method == http.MethodHead {
		l.slots.Release(1)
		return resp, err
	}
	resp.Body = &slotBody{ReadCloser: resp.Body, release: sync.OnceFunc(func() { l.slots.Release(1) })}
	return resp, nil
}

// slotBody releases the slot once it has been read or closed.
type slotBody struct {
	io.ReadCloser
	release func()
}

// Read implements io.Reader.
func (b *slotBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

// Close implements io.Closer.
func (b *slotBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
