package gateway

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// boundedListener accepts no more connections than its pool has room for.
// Others wait, one of them here and the rest in the backlog of the system.
type boundedListener struct {
	net.Listener
	pool   *pool
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: raw, pool: l.pool, source: sourceOf(raw), since: time.Now()}
	for {
		changed, ok := l.pool.add(c)
		if ok {
			return c, nil
		}
		select {
		case <-changed:
		case <-l.closed:
			_ = raw.Close()
			return nil, net.ErrClosed
		}
	}
}

// Close implements net.Listener.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// pool is the connections of all listeners. Where it is full, somebody who has
// not shown the secret makes room, and then somebody who is idle: what others
// wait for is held by requests of those who may make them, and by nothing else.
type pool struct {
	most int

	// mu guards the rest, and the fields of the connections that say so.
	mu    sync.Mutex
	conns map[*boundedConn]bool
	// changed is closed when somebody who waits, if anybody does, should look again.
	changed chan struct{}
	waiting bool
}

func newPool(most int) *pool {
	return &pool{most: most, conns: map[*boundedConn]bool{}, changed: make(chan struct{})}
}

// boundedConn is one connection of a client.
type boundedConn struct {
	net.Conn
	pool   *pool
	source string

	// The pool's mu guards these. known says that the client was let in, state
	// what the server does for it since when; tracked that the server tells.
	known, tracked bool
	state          http.ConnState
	since          time.Time
}

// sourceOf tells clients apart: by their address.
func sourceOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return "" // a unix socket
	}
	return host
}

// add takes a connection in. If there is no room and nobody to make it, it is to
// be tried again after a change.
func (p *pool) add(c *boundedConn) (changed <-chan struct{}, ok bool) {
	p.mu.Lock()
	if len(p.conns) < p.most {
		p.conns[c] = true
		p.mu.Unlock()
		return nil, true
	}
	victim := p.victim()
	if victim == nil {
		defer p.mu.Unlock()
		p.waiting = true
		return p.changed, false
	}
	delete(p.conns, victim)
	p.conns[c] = true
	p.mu.Unlock()
	_ = victim.Conn.Close() // the server notices
	return nil, true
}

// victim is who makes room, nil if nobody has to. The caller holds mu.
func (p *pool) victim() *boundedConn {
	shares := map[string]int{}
	for c := range p.conns {
		if !c.known {
			shares[c.source]++
		}
	}
	var victim *boundedConn
	for c := range p.conns {
		if c.rank() > 0 && (victim == nil || c.before(victim, shares)) {
			victim = c
		}
	}
	return victim
}

// rank returns the higher the sooner a connection makes room, zero for never.
func (c *boundedConn) rank() int {
	switch {
	case !c.tracked:
		return 0
	case !c.known && c.state != http.StateActive:
		return 3
	case !c.known:
		return 2
	case c.state == http.StateIdle:
		return 1
	default:
		return 0
	}
}

// before reports whether c makes room rather than d: of strangers, those of the
// address that has the most, and then the one that has waited longest.
func (c *boundedConn) before(d *boundedConn, shares map[string]int) bool {
	if c.rank() != d.rank() {
		return c.rank() > d.rank()
	}
	if !c.known && shares[c.source] != shares[d.source] {
		return shares[c.source] > shares[d.source]
	}
	return c.since.Before(d.since)
}

// remove gives the place of a connection to others.
func (p *pool) remove(c *boundedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c] {
		delete(p.conns, c)
		p.wake()
	}
}

// wake lets those who wait look again. The caller holds mu.
func (p *pool) wake() {
	if p.waiting {
		close(p.changed)
		p.changed, p.waiting = make(chan struct{}), false
	}
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.pool.remove(c)
	return c.Conn.Close()
}

// NetConn returns what is bounded, as tls.Conn does.
func (c *boundedConn) NetConn() net.Conn { return c.Conn }

// track is the http.Server.ConnState of a gateway.
func track(conn net.Conn, state http.ConnState) {
	c := boundedOf(conn)
	if c == nil {
		return
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.tracked, c.state, c.since = true, state, time.Now()
	if c.rank() > 0 {
		c.pool.wake()
	}
}

// letIn notes that the client of a connection has shown who he is.
func letIn(conn net.Conn) {
	if c := boundedOf(conn); c != nil {
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		c.known = true
	}
}

// boundedOf finds the connection of the pool below TLS, nil if there is none.
func boundedOf(conn net.Conn) *boundedConn {
	for conn != nil {
		if c, ok := conn.(*boundedConn); ok {
			return c
		}
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = wrapped.NetConn()
	}
	return nil
}
