package gateway

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// boundedListener accepts no more connections than its pool has room for. One other
// waits here, the rest in the system's backlog.
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

// pool holds the connections of all listeners. If it is full, a client that has not
// presented the secret makes room, and then an idle one: only authorized requests in
// progress can make others wait.
type pool struct {
	most int

	// mu guards the rest, and the fields of connections that say so.
	mu    sync.Mutex
	conns map[*boundedConn]bool
	// changed is closed when waiting callers, if any, should try again.
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

	// The pool's mu guards these. known reports whether the client was admitted, state
	// is the connection's state, entered at since, and tracked reports whether the
	// server has reported one.
	known, tracked bool
	state          http.ConnState
	since          time.Time
}

// sourceOf identifies a client by its address.
func sourceOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return "" // a unix socket
	}
	return host
}

// add adds a connection. If there is no room and no connection can be closed for it,
// the caller must retry when changed is closed.
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

// victim returns the connection to close, or nil. The caller holds mu.
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

// rank returns how early a connection makes room, higher for earlier, zero for
// never.
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

// before reports whether c makes room before d: among strangers, first those from the
// address with the most connections; then the one unchanged for longest.
func (c *boundedConn) before(d *boundedConn, shares map[string]int) bool {
	if c.rank() != d.rank() {
		return c.rank() > d.rank()
	}
	if !c.known && shares[c.source] != shares[d.source] {
		return shares[c.source] > shares[d.source]
	}
	return c.since.Before(d.since)
}

// remove removes a connection and lets others take its place.
func (p *pool) remove(c *boundedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c] {
		delete(p.conns, c)
		p.wake()
	}
}

// wake lets waiting callers try again. The caller holds mu.
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

// NetConn returns the underlying connection, as tls.Conn does.
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

// letIn records that the client of a connection was admitted.
func letIn(conn net.Conn) {
	if c := boundedOf(conn); c != nil {
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		c.known = true
	}
}

// boundedOf returns the pool's connection below TLS, or nil.
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
