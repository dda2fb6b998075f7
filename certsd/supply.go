package certsd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// patience is how long a request waits for a connection that somebody else has
// begun to make or was seen to give back. It is more than a TLS handshake takes
// around the world; it is used up only where that connection hangs.
const patience = time.Second

// grace is how long a request waits for one of the connections that were enough
// before.
const grace = 25 * time.Millisecond

// errNotNeeded ends a dial whose request has got another connection. Nobody
// sees it.
var errNotNeeded = errors.New("another connection is used")

// supply keeps the transport of one identity from making connections that
// nobody needs. Its zero value is ready.
//
// net/http begins a dial for each request that finds no idle connection, and
// lets it run on when another connection becomes free for the request. A pull
// that makes three requests at a time so ends up with four or five connections.
// Here a dial begins only if more requests wait for a connection than
// connections are being made or free. There are thus never more than there were
// requests at one time, and no limit beside that. What does not begin waits for
// one of those connections, which are there sooner than another would be.
//
// It counts HTTP/1.1 over TLS without a proxy: one request per connection.
type supply struct {
	// mu guards addresses, all in them, and the fields of exchange and conn that
	// say so.
	mu        sync.Mutex
	addresses map[string]*addressSupply
}

// addressSupply is the supply of one address.
type addressSupply struct {
	address string
	// waiting are the requests that wait for a connection, dialling and free
	// the connections that they may get: those being made, and those that no
	// request has. open are all that were made and are not closed.
	waiting, dialling, free, open int
	// enough is how many were open when all were free for the last time.
	enough int
	// held are dials that are not known to be needed.
	held []*heldDial
}

// heldDial is a dial that waits for its answer: whether it is needed.
type heldDial struct {
	request *exchange
	needed  chan bool
	// ripe tells that it has waited for its grace.
	ripe bool
}

// of returns the supply of an address. The caller holds mu.
func (s *supply) of(address string) *addressSupply {
	l := s.addresses[address]
	if l == nil {
		if s.addresses == nil {
			s.addresses = make(map[string]*addressSupply)
		}
		l = &addressSupply{address: address}
		s.addresses[address] = l
	}
	return l
}

// settle decides what is held, after a change. The caller holds mu.
func (s *supply) settle(l *addressSupply) {
	held := l.held[:0]
	for _, d := range l.held {
		switch {
		case d.request.at != l:
			d.needed <- false
		case l.lacks(d.ripe):
			l.dialling++
			d.needed <- true
		default:
			held = append(held, d)
		}
	}
	clear(l.held[len(held):])
	l.held = held
	if l.waiting+l.dialling == 0 && l.free == l.open {
		l.enough = l.open
	}
	if l.waiting+l.dialling+l.open+len(l.held) == 0 {
		delete(s.addresses, l.address)
	}
}

// lacks tells that another connection is needed. Where several were enough
// before, one more is needed only if none of them becomes free for a moment.
func (l *addressSupply) lacks(ripe bool) bool {
	if l.waiting <= l.dialling+l.free {
		return false
	}
	return ripe || l.enough < 2 || l.open+l.dialling < l.enough
}

// want notes that a request waits for a connection.
func (s *supply) want(x *exchange, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(x)
	x.at = s.of(address)
	x.at.waiting++
}

// unwant notes that a request does not wait any more. The caller holds mu.
func (s *supply) unwant(x *exchange) {
	if l := x.at; l != nil {
		x.at = nil
		l.waiting--
		s.settle(l)
	}
}

// leave notes that a request has ended, or has its answer.
func (s *supply) leave(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(x)
}

// take notes that a request has got a connection.
func (s *supply) take(x *exchange, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.user = c
	if c != nil {
		c.use(+1)
	}
	s.unwant(x)
}

// giveBack notes that the request's connection is free again. net/http says so
// after it handed the connection to the next request, which may be quicker to
// say that it took it.
func (s *supply) giveBack(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := x.user; c != nil {
		x.user = nil
		c.use(-1)
		if c.at != nil {
			s.settle(c.at)
		}
	}
}

// use counts those who use c. The caller holds mu.
func (c *conn) use(n int) {
	before := c.users
	if c.users += n; c.at == nil {
		return
	}
	switch {
	case before == 0 && c.users > 0:
		c.at.free--
	case before > 0 && c.users == 0:
		c.at.free++
	}
}

// begin waits until a dial for a request is needed, and returns an error if it
// is not. [supply.end] must follow if there is none.
func (s *supply) begin(ctx context.Context, x *exchange, address string) error {
	d := &heldDial{request: x, needed: make(chan bool, 1)}
	l := s.hold(d, address)
	select {
	case needed := <-d.needed:
		return verdict(needed)
	default:
	}
	early, late := time.NewTimer(grace), time.NewTimer(patience)
	defer early.Stop()
	defer late.Stop()
	for {
		select {
		case needed := <-d.needed:
			return verdict(needed)
		case <-early.C:
			s.ripen(l, d)
		case <-late.C:
			return s.release(l, d, nil)
		case <-ctx.Done():
			return s.release(l, d, ctx.Err())
		}
	}
}

func verdict(needed bool) error {
	if needed {
		return nil
	}
	return errNotNeeded
}

// hold puts a dial among those held. Often it is decided at once.
func (s *supply) hold(d *heldDial, address string) *addressSupply {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(address)
	l.held = append(l.held, d)
	s.settle(l)
	return l
}

// ripen notes that a dial has waited for its grace.
func (s *supply) ripen(l *addressSupply, d *heldDial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.ripe = true
	s.settle(l)
}

// release ends the waiting of a dial: it goes ahead unless there is an error,
// or was decided meanwhile.
func (s *supply) release(l *addressSupply, d *heldDial, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(l.held, d)
	if i < 0 {
		return verdict(<-d.needed)
	}
	l.held = slices.Delete(l.held, i, i+1)
	if err == nil {
		l.dialling++
	}
	s.settle(l)
	return err
}

// end notes what came of a dial: a connection, nil if none did.
func (s *supply) end(address string, c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(address)
	l.dialling--
	if c != nil {
		l.open++
		l.free++
		c.supply, c.at = s, l
	}
	s.settle(l)
}

// closed notes that a connection is no longer of use.
func (s *supply) closed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := c.at
	if l == nil {
		return
	}
	c.at = nil
	l.open--
	if c.users == 0 {
		l.free--
	}
	s.settle(l)
}
