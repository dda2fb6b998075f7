package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// defaultCooldown is long enough to keep the blobs of a pull from waiting for
// the same dead mirror, short enough that its return is noticed by the next.
const defaultCooldown = 10 * time.Second

// maxDead bounds cooldowns.until: host names come from configuration, but also
// from _default directories and thus from references.
const maxDead = 1024

// cooldowns remember the endpoints that could not be reached.
type cooldowns struct {
	// period is the configured one: see Hosts.Cooldown.
	period time.Duration

	// mu guards seen.
	mu   sync.Mutex
	seen map[string]outage
}

type outage struct {
	at  time.Time
	err error
}

// guard passes requests on unless the endpoint is known to be dead and another
// one may answer in its place. The only endpoint left is always asked: there is
// nobody else to turn to.
func (c *cooldowns) guard(next http.RoundTripper, endpoint string, others []string) http.RoundTripper {
	if c.period < 0 || len(others) == 0 {
		return next
	}
	return &guarded{next: next, endpoint: endpoint, others: others, dead: c}
}

type guarded struct {
	next     http.RoundTripper
	endpoint string
	others   []string
	dead     *cooldowns
}

type alwaysAsk struct{}

// withoutCooldown is for requests that go to one endpoint whatever happens: a
// push has no second one.
func withoutCooldown(ctx context.Context) context.Context {
	return context.WithValue(ctx, alwaysAsk{}, true)
}

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme+"://"+req.URL.Host != g.endpoint {
		return g.next.RoundTrip(req)
	}
	if req.Context().Value(alwaysAsk{}) == nil {
		if err := g.dead.check(g.endpoint, g.others); err != nil {
			if req.Body != nil {
				_ = req.Body.Close()
			}
			return nil, err
		}
	}
	resp, err := g.next.RoundTrip(req)
	g.dead.note(g.endpoint, req, err)
	return resp, err
}

// check returns why an endpoint is not to be asked now.
func (c *cooldowns) check(endpoint string, others []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, left := c.outage(endpoint)
	if left <= 0 || !slices.ContainsFunc(others, c.alive) {
		return nil
	}
	return fmt.Errorf("%s could not be reached %s ago and is not asked again for %s: %w",
		endpoint, time.Since(o.at).Round(time.Millisecond), left.Round(time.Millisecond), o.err)
}

// outage returns what is known about a dead endpoint, and for how long it still
// counts. The caller holds mu.
func (c *cooldowns) outage(endpoint string) (o outage, left time.Duration) {
	o, ok := c.seen[endpoint]
	if !ok {
		return o, 0
	}
	if left = c.duration() - time.Since(o.at); left <= 0 {
		delete(c.seen, endpoint)
	}
	return o, left
}

func (c *cooldowns) alive(endpoint string) bool {
	_, left := c.outage(endpoint)
	return left <= 0
}

func (c *cooldowns) note(endpoint string, req *http.Request, err error) {
	if err != nil && req.Context().Err() != nil && !waitedEnough(req.Context()) {
		// Given up: that says nothing about the endpoint.
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unreachable(err) {
		delete(c.seen, endpoint)
		return
	}
	if c.seen == nil || len(c.seen) >= maxDead {
		c.seen = map[string]outage{}
	}
	c.seen[endpoint] = outage{at: time.Now(), err: err}
}

// waitedEnough reports whether a caller has given up because of the endpoint, and
// says so by a cause of its own: a deadline may be any.
func waitedEnough(ctx context.Context) bool {
	cause := context.Cause(ctx)
	var timeout net.Error
	return errors.As(cause, &timeout) && timeout.Timeout() && !errors.Is(cause, context.DeadlineExceeded)
}

func (c *cooldowns) duration() time.Duration {
	if c.period > 0 {
		return c.period
	}
	return defaultCooldown
}

// unreachable tells a dead endpoint from one that answers. One that takes
// connections and then keeps silent is dead, too, and costs more of each blob's
// time than one that refuses them.
func unreachable(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	if errors.As(err, new(*net.DNSError)) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Outage is an endpoint that could not be reached and is passed over while
// another is left.
type Outage struct {
	// Endpoint is scheme and host.
	Endpoint string
	// At is when it could not be reached, Until how long that counts.
	At, Until time.Time
	// Err is what was met.
	Err error
}

// Outages returns the endpoints that are passed over now, by name.
func (h *Hosts) Outages() []Outage {
	h.roundTripper()
	h.dead.mu.Lock()
	defer h.dead.mu.Unlock()
	var outages []Outage
	for endpoint := range h.dead.seen {
		if o, left := h.dead.outage(endpoint); left > 0 {
			outages = append(outages, Outage{Endpoint: endpoint, At: o.at, Until: o.at.Add(h.dead.duration()), Err: o.err})
		}
	}
	slices.SortFunc(outages, func(a, b Outage) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return outages
}
