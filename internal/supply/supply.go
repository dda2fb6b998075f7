// Package supply keeps the transport of one client certificate from making TLS
// connections that nobody needs.
//
// net/http begins a dial for each request that finds no idle connection, and lets it
// finish even if another connection becomes free for the request. So a pull that makes
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
// So there are never more connections than concurrent requests, and there is no other
// limit: a pull of seven objects, three at a time, makes 2.4 handshakes on average and
// 3 at most; without the supply 2.9, and 4 at most; stock containerd makes 3.7 to 4.0
// (BenchmarkHandshakes in package resolver). Where several connections were enough
// before, a further dial waits a moment longer (grace): one of them is likely to become
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

// patience is how long a request waits for a connection that another request has begun
// to make or has given back. It is more than a TLS handshake takes around the world,
// and is used up only if that connection hangs.
const patience = time.Second

// grace is how long a request waits for one of several connections that were enough
// before.
const grace = 25 * time.Millisecond

// ErrNotNeeded ends a dial whose request has another connection. net/http discards it.
var ErrNotNeeded = errors.New("another connection is used")

// Supply is the supply of connections of one transport. Its zero value is ready to use.
type Supply struct {
	// mu guards addresses with all they contain, and every Request and Conn.
	mu        sync.Mutex
	addresses map[string]*address
}

// address holds the counts for one address.
type address struct {
	name string
	// waiting counts the requests that wait for a connection; dialling and free count
	// the connections that they may get: those being made, and those that no request
	// has. open counts all that were made and are not closed.
	waiting, dialling, free, open int
	// enough is how many were open when all were last free.
	enough int
	// held are the dials that are not needed yet.
	held []*heldDial
}

// Request is one request; its zero value does not wait.
type Request struct {
	// at is set while the request waits; has is its connection.
	at  *address
	has *Conn
}

// Conn is the state of one connection; its zero value is not counted.
type Conn struct {
	supply *Supply
	// at is nil once the connection is closed; users counts the requests on it, which
	// may be two for a moment.
	at    *address
	users int
}

// heldDial is a dial that waits to learn whether it is needed.
type heldDial struct {
	request *Request
	needed  chan bool
	// ripe reports whether its grace has passed.
	ripe bool
}

// of returns the counts for an address. The caller holds mu.
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

// settle decides about the held dials after a change. The caller holds mu.
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

// lacks reports whether another connection is needed. If several were enough before,
// one more is needed only if none of them becomes free within the grace.
func (l *address) lacks(ripe bool) bool {
	if l.waiting <= l.dialling+l.free {
		return false
	}
	return ripe || l.enough < 2 || l.open+l.dialling < l.enough
}

// Want records that a request waits for a connection.
func (s *Supply) Want(r *Request, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(r)
	r.at = s.of(address)
	r.at.waiting++
}

// unwant records that a request does not wait any more. The caller holds mu.
func (s *Supply) unwant(r *Request) {
	if l := r.at; l != nil {
		r.at = nil
		l.waiting--
		s.settle(l)
	}
}

// Leave records that a request has ended, or has its answer.
func (s *Supply) Leave(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwant(r)
}

// Take records that a request has got a connection.
func (s *Supply) Take(r *Request, c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.has = c
	if c != nil {
		c.use(+1)
	}
	s.unwant(r)
}

// GiveBack records that the request's connection is free again. net/http reports that
// only after it may have handed the connection to the next request, whose Take may come
// first.
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

// use changes the number of requests on c. The caller holds mu.
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

// Begin waits until a dial for a request is needed, and returns an error if it is not.
// After a nil error, [Supply.End] must be called.
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

// hold adds a dial to those held, and may decide about it at once.
func (s *Supply) hold(d *heldDial, address string) *address {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.of(address)
	l.held = append(l.held, d)
	s.settle(l)
	return l
}

// ripen records that the grace of a dial has passed.
func (s *Supply) ripen(l *address, d *heldDial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.ripe = true
	s.settle(l)
}

// release ends the waiting of a dial: unless it was decided meanwhile, it may begin if
// err is nil.
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

// End records the result of a dial: a connection, nil if it failed.
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

// Closed records that the connection is closed.
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
