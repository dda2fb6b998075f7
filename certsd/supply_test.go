package certsd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// supplyTest drives a supply as net/http and the dialer do, in a bubble where
// time passes when nothing else happens.
type supplyTest struct {
	*testing.T
	supply supply
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
func (s *supplyTest) want(ctx context.Context) (*exchange, chan error) {
	x := &exchange{supply: &s.supply}
	s.supply.want(x, supplyAddress)
	return x, s.dial(ctx, x)
}

func (s *supplyTest) dial(ctx context.Context, x *exchange) chan error {
	begun := make(chan error, 1)
	go func() { begun <- s.supply.begin(ctx, x, supplyAddress) }()
	synctest.Wait()
	return begun
}

// made is the end of a dial that succeeds.
func (s *supplyTest) made() *conn {
	server, client := net.Pipe()
	s.Cleanup(func() { _ = server.Close() })
	c := &conn{Conn: client}
	s.supply.end(supplyAddress, c)
	return c
}

// connect makes a connection in use.
func (s *supplyTest) connect() (*exchange, *conn) {
	s.Helper()
	x, begun := s.want(s.Context())
	s.expect(begun, nil)
	c := s.made()
	s.supply.take(x, c)
	return x, c
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

func (s *supplyTest) close(conns ...*conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}

// As many connections are begun as requests wait, at once and whatever there
// are of others.
func TestSupplyHasNoLimit(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		var conns []*conn
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
		first, c1 := s.connect()
		second, dial := s.want(s.Context())
		s.expect(dial, nil)
		s.supply.giveBack(first)
		s.supply.take(second, c1)

		third, held := s.want(s.Context())
		s.held(held)
		c2 := s.made()
		s.held(held)
		s.supply.take(third, c2)
		s.expect(held, errNotNeeded)
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
		s.supply.take(second, c1)
		s.supply.giveBack(first)

		// There is one dial to be had, for one request.
		third, held := s.want(s.Context())
		s.held(held)
		fourth, more := s.want(s.Context())
		s.expect(held, nil)
		s.held(more)
		c2, c3 := s.made(), s.made()
		s.supply.take(third, c2)
		s.supply.take(fourth, c3)
		s.expect(more, errNotNeeded)
		s.close(c1, c2, c3)
	})
}

// A dial that fails, and a connection that is closed before it was used, are
// made good by the dial of a request that counted on them.
func TestSupplyIsMadeGood(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *supplyTest){
		"dial":       func(s *supplyTest) { s.supply.end(supplyAddress, nil) },
		"connection": func(s *supplyTest) { s.close(s.made()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSupply(t, func(s *supplyTest) {
				first, c1 := s.connect()
				second, dial := s.want(s.Context())
				s.expect(dial, nil)
				s.supply.giveBack(first)
				s.supply.take(second, c1)
				third, held := s.want(s.Context())
				s.held(held)
				lose(s)
				s.expect(held, nil)
				c3 := s.made()
				s.supply.take(third, c3)
				s.close(c1, c3)
			})
		})
	}
}

// What hangs is waited for a second; a cancelled dial not at all.
func TestSupplyIsPatientForASecond(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		first, c1 := s.connect()
		second, dial := s.want(s.Context())
		s.expect(dial, nil)
		s.supply.giveBack(first)
		s.supply.take(second, c1)
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
		s.supply.take(third, c3)
		s.close(c1, c3, s.made())
	})
}

// A request that ends without a connection needs none.
func TestSupplyOfARequestThatEnds(t *testing.T) {
	t.Parallel()
	inSupply(t, func(s *supplyTest) {
		first, c1 := s.connect()
		second, dial := s.want(s.Context())
		s.expect(dial, nil)
		s.supply.giveBack(first)
		s.supply.take(second, c1)
		third, held := s.want(s.Context())
		s.supply.leave(third)
		s.expect(held, errNotNeeded)
		s.expect(s.dial(s.Context(), third), errNotNeeded)
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
		s.supply.giveBack(first)
		s.supply.take(first, c1)
		second, c2 := s.connect()
		s.supply.giveBack(first)
		s.supply.giveBack(second)

		s.supply.take(first, c1)
		s.supply.take(second, c2)
		third, held := s.want(s.Context())
		time.Sleep(grace - 1)
		s.held(held)
		s.supply.giveBack(first)
		s.supply.take(third, c1)
		s.expect(held, errNotNeeded)

		fourth, late := s.want(s.Context())
		time.Sleep(grace - 1)
		s.held(late)
		time.Sleep(time.Nanosecond)
		s.expect(late, nil)
		c3 := s.made()
		s.supply.take(fourth, c3)

		s.supply.giveBack(second)
		s.supply.giveBack(third)
		s.supply.giveBack(fourth)
		s.supply.take(first, c1)
		s.supply.take(second, c2)
		s.close(c3)
		_, c4 := s.connect()
		s.close(c1, c2, c4)
	})
}

// Requests that are all in work at one time have a connection each, also where
// there were fewer before.
func TestConnectionsHaveNoLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 10} {
		var all sync.WaitGroup
		s := newTLSServer(t, serverOptions{handle: func(_ http.ResponseWriter, r *http.Request, _ string) {
			if r.URL.Path == "/v2/" {
				return
			}
			all.Done()
			all.Wait()
		}})
		dir := newCertsDir(t)
		dir.add(t, s.host, "client")
		rt := view(t, dir.transport(t), s.host, nil)
		get(t, rt, s.URL+"/v2/")
		for range 2 {
			all.Add(n)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() { get(t, rt, s.URL+"/v2/app/manifests/1") })
			}
			wg.Wait()
			n += 2
		}
		if got := len(s.shaken()); got < n-2 {
			t.Errorf("%d handshakes for %d requests at a time", got, n-2)
		}
	}
}

// A dial that is refused is the error of the request that it was made for, and
// those that counted on it make their own.
func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{tls: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }})
	dir := newCertsDir(t)
	dir.add(t, s.host, "client")
	tr := dir.transport(t)
	rt := view(t, tr, s.host, nil)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := send(t, rt, newRequest(t.Context(), t, "GET", s.URL+"/v2/", "")); err == nil {
				t.Error("no error")
			}
		})
	}
	wg.Wait()
}
