package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// limited bounds the requests to registries that are under way at a time, and
// with them the connections: see [shares]. Others wait for their turn, but no
// longer than patience if a client waits with them.
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

// unhurried makes requests wait for their turn as long as it takes: what they are
// for has been begun, and would be lost.
func unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurriedKey{}, true)
}

// waitsSince is when a client began to wait: all requests to registries that are
// made for it have one time together.
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
	// Only content takes long. An answer that leads to another request must not
	// hold what that one needs.
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices || req.Method == http.MethodHead {
		l.slots.Release(1)
		return resp, err
	}
	resp.Body = &slotBody{ReadCloser: resp.Body, release: sync.OnceFunc(func() { l.slots.Release(1) })}
	return resp, nil
}

// slotBody gives the slot back when it has been read or closed.
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

// defaultWriteStall is how long a client may take nothing before its connection
// is cut.
const defaultWriteStall = time.Minute

// deadline keeps a client that takes nothing from holding a request forever. The
// time begins again with each write, and while one lasts whenever the client
// takes something: the system takes a write in large parts.
type deadline struct {
	control *http.ResponseController
	stall   time.Duration
	set     time.Time
	// conn is where the client is, nil if that is not known.
	conn net.Conn
}

// extend is called before each write.
func (d *deadline) extend() {
	now := time.Now()
	if now.Sub(d.set) < d.stall/16 {
		return
	}
	d.set = now
	// Where it cannot be set, as in tests without a connection, there is none.
	_ = d.control.SetWriteDeadline(now.Add(d.stall))
}

// watch looks after a client until stop is called.
func (d *deadline) watch() (stop func()) {
	taken, ok := takenFrom(d.conn)
	if !ok {
		return func() {}
	}
	return every(d.stall/8, func() {
		if now, ok := takenFrom(d.conn); ok && now != taken {
			taken = now
			_ = d.control.SetWriteDeadline(time.Now().Add(d.stall))
		}
	})
}

type connKey struct{}

// withConn is the http.Server.ConnContext of a gateway.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connIn is the connection of a request, nil if it is not known.
func connIn(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}

// rawConn finds the system's connection below those that wrap it.
func rawConn(c net.Conn) (syscall.RawConn, bool) {
	for {
		if wrapped, ok := c.(interface{ NetConn() net.Conn }); ok {
			c = wrapped.NetConn()
			continue
		}
		system, ok := c.(syscall.Conn)
		if !ok {
			return nil, false
		}
		raw, err := system.SyscallConn()
		return raw, err == nil
	}
}
