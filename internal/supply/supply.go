// Package supply keeps the transport of one client certificate from making TLS
// connections that nobody needs.
//
// net/http begins a dial for each request that finds no idle connection, and lets it
// run on when another connection becomes free for the request. So a pull that makes
// three requests at a time ends up with four or five connections, each of which costs a
// handshake:
//
//	request 1  ---want--- dial A ========== take A ------ give back A
//	request 2      ---want--- dial B ===============(goes on)======> nobody has it
//	                          \________________________ take A
//
// A [Supply] stands in front of the dials. It counts, for each address,
//
//	waiting    requests that want a connection      Want ... Take or Leave
//	dialling   connections that are being made      Begin ... End
//	free       connections that no request has      End, GiveBack ... Take, Closed
//
// and lets a dial begin only while a request needs it:
//
//	waiting > dialling + free   it begins
//	otherwise                   Begin holds it until that changes, its request has
//	                            another connection ([ErrNotNeeded]), or it has waited enough
//
//	request 1  ---want--- dial A ========== take A ------ give back A
//	request 2      ---want--- (held: A is free soon) ---- take A    one handshake, not two
//
// So there are never more connections than there were requests at one time, and
// no other limit: a pull of seven objects, three at a time, makes 2.4
// handshakes on average and 3 at most; without the supply 2.9, and 4 at most; stock
// containerd makes 3.7 to 4.0 (the benchmark is resolver's, BenchmarkHandshakes). Where several connections were enough before, one
// more dial waits a moment longer (grace): one of them is likely to become
// free before a handshake would end.
//
// It counts HTTP/1.1 over TLS without a proxy: one request per connection.
package supply

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

// ErrNotNeeded ends a dial whose request has got another connection. net/http shows
// it to nobody.
var ErrNotNeeded = errors.New("another connection is used")

// Supply is that of one transport. Its zero value is ready.
type Supply struct {
	// mu guards addresses, all in them, and every Request and Conn.
	mu        sync.Mutex
	addresses map[string]*address
}

// address is what is counted for one address.
type address struct {
	name string
	// waiting are the requests that wait for a connection, dialling and free
	// the connections that they may get: those being made, and those that no
	// request has. open are all that were made and are not closed.
	waiting, dialling, free, open int
	// enough is how many were open when all were free for the last time.
	enough int
	// held are dials that are not known to be needed.
	held []*heldDial
}

// Request is one request; its zero value is one that does not wait.
type Request struct {
	// at is set while it waits, has is the connection that it has.
	at  *address
	has *Conn
}

// Conn is what is counted of one connection; its zero value is counted nowhere.
type Conn struct {
	supply *Supply
	// at is nil once the connection is closed, users are the requests on it. For
	// a moment that may be two.
	at    *address
	users int
}

// heldDial is a dial that waits for its answer: whether it is needed.
type heldDial struct {
	request *Request
	needed  chan bool
	// ripe reports whether it has waited for its grace.
	ripe bool
}

// of returns the supply of an address. The caller holds mu.
func (s *Supply) of(name string) *address {
	l := s.addresses[name]
	if l == nil {
		if s.addresses == nil {
			s.addresses = make(map[string]*address)
		}
		l = &address{name: name}
		s.addresses[name] = l
	}
	return l
}

// settle decides what is held, after a change. The caller holds mu.
func (s *Supply) settle(l *address) {
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
		delete(s.addresses, l.name)
	}
}

// lacks reports whether another connection is needed. Where several were enough
// before, one more is needed only if none of them becomes free for a moment.
func (l *address) lacks(ripe bool) bool {
	if l.waiting <= l.dialling+l.free {
		return false
	}
	return ripe || l.enough < 2 || l.open+l.dialling < l.enough
}

// Want notes that a request waits for a connection.
func (s *Supply) Want(r *Request, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(r)
	r.at = s.of(address)
	r.at.waiting++
}

// unwant notes that a request does not wait any more. The caller holds mu.
func (s *Supply) unwant(r *Request) {
	if l := r.at; l != nil {
		r.at = nil
		l.waiting--
		s.settle(l)
	}
}

// Leave notes that a request has ended, or has its answer.
func (s *Supply) Leave(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(r)
}

// Take notes that a request has got a connection.
func (s *Supply) Take(r *Request, c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.has = c
	if c != nil {
		c.use(+1)
	}
	s.unwant(r)
}

// GiveBack notes that the request's connection is free again. net/http says so
// after it handed the connection to the next request, which may be quicker to
// say that it took it.
func (s *Supply) GiveBack(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := r.has; c != nil {
		r.has = nil
		c.use(-1)
		if c.at != nil {
			s.settle(c.at)
		}
	}
}

// use counts those who use c. The caller holds mu.
func (c *Conn) use(n int) {
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

// Begin waits until a dial for a request is needed, and returns an error if it
// is not. [Supply.End] must follow if there is none.
func (s *Supply) Begin(ctx context.Context, r *Request, address string) error {
	d := &heldDial{request: r, needed: make(chan bool, 1)}
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
	return ErrNotNeeded
}

// hold puts a dial among those held. Often it is decided at once.
func (s *Supply) hold(d *heldDial, address string) *address {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(address)
	l.held = append(l.held, d)
	s.settle(l)
	return l
}

// ripen notes that a dial has waited for its grace.
func (s *Supply) ripen(l *address, d *heldDial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.ripe = true
	s.settle(l)
}

// release ends the waiting of a dial: it goes ahead unless there is an error,
// or was decided meanwhile.
func (s *Supply) release(l *address, d *heldDial, err error) error {
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

// End notes the result of a dial: a connection, nil if it failed.
func (s *Supply) End(address string, c *Conn) {
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

// Closed notes that the connection is no longer of use.
func (c *Conn) Closed() {
	s := c.supply
	if s == nil {
		return
	}
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
