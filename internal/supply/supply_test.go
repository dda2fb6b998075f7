package supply

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// supplyTest drives a supply as net/http and the dialer do, in a bubble where
// time passes when nothing else happens.
type supplyTest struct {
	*testing.T
	supply Supply
	start  time.Time
}

const supplyAddress = "registry.example:443"

// inSupply runs f and checks that nothing is left over.
func inSupply(t *testing.T, f func(s *supplyTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &supplyTest{T: t, start: time.Now()}
		f(s)
		if len(s.supply.addresses) != 0 {
			t.Errorf("left over: %+v", s.supply.addresses[supplyAddress])
		}
	})
}

// want is a request that found no idle connection: it waits, and its dial
// begins. The result of begin arrives in the channel.
func (s *supplyTest) want(ctx context.Context) (*Request, chan error) {
	x := new(Request)
	s.supply.Want(x, supplyAddress)
	return x, s.dial(ctx, x)
}

func (s *supplyTest) dial(ctx context.Context, x *Request) chan error {
	begun := make(chan error, 1)
	go func() { begun <- s.supply.Begin(ctx, x, supplyAddress) }()
	synctest.Wait()
	return begun
}

// made is the end of a dial that succeeds.
func (s *supplyTest) made() *Conn {
	c := new(Conn)
	s.supply.End(supplyAddress, c)
	return c
}

// connect makes a connection in use.
func (s *supplyTest) connect() (*Request, *Conn) {
	s.Helper()
	x, begun := s.want(s.Context())
	s.expect(begun, nil)
	c := s.made()
	s.supply.Take(x, c)
	return x, c
}

// spare leaves a dial under way that nobody needs: its request has got the connection
// c of another.
func (s *supplyTest) spare() (c *Conn) {
	s.Helper()
	first, c := s.connect()
	second, dial := s.want(s.Context())
	s.expect(dial, nil)
	s.supply.GiveBack(first)
	s.supply.Take(second, c)
	return c
}

// expect waits for the end of begin.
func (s *supplyTest) expect(begun chan error, want error) {
	s.Helper()
	synctest.Wait()
	select {
	case err := <-begun:
		if !errors.Is(err, want) || want == nil && err != nil {
			s.Errorf("after %s: %v, want %v", time.Since(s.start), err, want)
		}
	default:
		s.Errorf("after %s: the dial is held", time.Since(s.start))
	}
}

func (s *supplyTest) held(begun chan error) {
	s.Helper()
	synctest.Wait()
	select {
	case err := <-begun:
		s.Errorf("after %s: the dial is not held: %v", time.Since(s.start), err)
	default:
	}
}

func (s *supplyTest) close(conns ...*Conn) {
	for _, c := range conns {
		c.Closed()
	}
}

// As many connections are begun as requests wait, at once and whatever there
// are of others.
func TestSupplyHasNoLimit(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		var conns []*Conn
		for range 20 {
			_, c := s.connect()
			conns = append(conns, c)
		}
		if since := time.Since(s.start); since != 0 {
			s.Errorf("it took %s", since)
		}
		s.close(conns...)
	})
}

// A request that got another's connection leaves its dial to the next one.
func TestSupplyHandsADialOn(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		c1 := s.spare()

		third, held := s.want(s.Context())
		s.held(held)
		c2 := s.made()
		s.held(held)
		s.supply.Take(third, c2)
		s.expect(held, ErrNotNeeded)
		s.close(c1, c2)
	})
}

// net/http hands a connection on before it says that it was given back.
func TestSupplyTakenBeforeItIsGivenBack(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		first, c1 := s.connect()
		second, dial := s.want(s.Context())
		s.expect(dial, nil)
		s.supply.Take(second, c1)
		s.supply.GiveBack(first)

		// There is one dial to be had, for one request.
		third, held := s.want(s.Context())
		s.held(held)
		fourth, more := s.want(s.Context())
		s.expect(held, nil)
		s.held(more)
		c2, c3 := s.made(), s.made()
		s.supply.Take(third, c2)
		s.supply.Take(fourth, c3)
		s.expect(more, ErrNotNeeded)
		s.close(c1, c2, c3)
	})
}

// A dial that fails, and a connection that is closed before it was used, are
// made good by the dial of a request that counted on them.
func TestSupplyIsMadeGood(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *supplyTest){
		"dial":       func(s *supplyTest) { s.supply.End(supplyAddress, nil) },
		"connection": func(s *supplyTest) { s.close(s.made()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSupply(t, func(s *supplyTest) {
				c1 := s.spare()
				third, held := s.want(s.Context())
				s.held(held)
				lose(s)
				s.expect(held, nil)
				c3 := s.made()
				s.supply.Take(third, c3)
				s.close(c1, c3)
			})
		})
	}
}

// What hangs is waited for a second; a cancelled dial not at all.
func TestSupplyIsPatientForASecond(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		c1 := s.spare()
		third, held := s.want(s.Context())
		ctx, cancel := context.WithCancel(s.Context())
		fourth := s.dial(ctx, third)
		time.Sleep(patience - 1)
		s.held(held)
		s.held(fourth)
		cancel()
		s.expect(fourth, context.Canceled)
		time.Sleep(time.Nanosecond)
		s.expect(held, nil)
		c3 := s.made()
		s.supply.Take(third, c3)
		s.close(c1, c3, s.made())
	})
}

// A request that ends without a connection needs none.
func TestSupplyOfARequestThatEnds(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		c1 := s.spare()
		third, held := s.want(s.Context())
		s.supply.Leave(third)
		s.expect(held, ErrNotNeeded)
		s.expect(s.dial(s.Context(), third), ErrNotNeeded)
		s.close(c1, s.made())
	})
}

// Where two connections were enough, a third request waits for one of them for
// a moment. Where there was one, the second does not; nor where one of the two
// is closed.
func TestSupplyThatWasEnough(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		first, c1 := s.connect()
		s.supply.GiveBack(first)
		s.supply.Take(first, c1)
		second, c2 := s.connect()
		s.supply.GiveBack(first)
		s.supply.GiveBack(second)

		s.supply.Take(first, c1)
		s.supply.Take(second, c2)
		third, held := s.want(s.Context())
		time.Sleep(grace - 1)
		s.held(held)
		s.supply.GiveBack(first)
		s.supply.Take(third, c1)
		s.expect(held, ErrNotNeeded)

		fourth, late := s.want(s.Context())
		time.Sleep(grace - 1)
		s.held(late)
		time.Sleep(time.Nanosecond)
		s.expect(late, nil)
		c3 := s.made()
		s.supply.Take(fourth, c3)

		s.supply.GiveBack(second)
		s.supply.GiveBack(third)
		s.supply.GiveBack(fourth)
		s.supply.Take(first, c1)
		s.supply.Take(second, c2)
		s.close(c3)
		_, c4 := s.connect()
		s.close(c1, c2, c4)
	})
}
