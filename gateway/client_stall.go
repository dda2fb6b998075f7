package gateway

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"time"
)

// deadline keeps a client that reads nothing from holding a request forever. It is
// extended by each write, and during a write whenever the client reads: the system
// accepts large writes at once.
type deadline struct {
	control *http.ResponseController
	stall   time.Duration
	set     time.Time
	// conn is the client's connection, nil if unknown.
	conn net.Conn
}

// extend is called before each write.
func (d *deadline) extend() {
	now := time.Now()
	if now.Sub(d.set) < d.stall/16 {
		return
	}
	d.set = now
	// Without a connection, as in tests, there is no deadline.
	_ = d.control.SetWriteDeadline(now.Add(d.stall))
}

// watch extends the deadline while the client reads, until stop is called.
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

// connIn returns the connection of a request, nil if it is not known.
func connIn(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}

// rawConn returns the system's connection below any wrappers.
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
