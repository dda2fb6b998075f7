package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
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

// guard passes requests on unless the endpoint is known to be dead. The only
// endpoint of a registry is always asked: there is nobody else to turn to.
func (c *cooldowns) guard(next http.RoundTripper, endpoint string, others bool) http.RoundTripper {
	if c.period < 0 || !others {
		return next
	}
	return &guarded{next: next, endpoint: endpoint, dead: c}
}

type guarded struct {
	next     http.RoundTripper
	endpoint string
	dead     *cooldowns
}

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme+"://"+req.URL.Host != g.endpoint {
		return g.next.RoundTrip(req)
	}
	if err := g.dead.check(g.endpoint); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := g.next.RoundTrip(req)
	g.dead.note(g.endpoint, req, err)
	return resp, err
}

func (c *cooldowns) check(endpoint string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.seen[endpoint]
	if !ok {
		return nil
	}
	ago := time.Since(o.at)
	if ago >= c.duration() {
		delete(c.seen, endpoint)
		return nil
	}
	return fmt.Errorf("%s could not be reached %s ago and is not asked again for %s: %w",
		endpoint, ago.Round(time.Millisecond), (c.duration() - ago).Round(time.Millisecond), o.err)
}

func (c *cooldowns) note(endpoint string, req *http.Request, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unreachable(req, err) {
		delete(c.seen, endpoint)
		return
	}
	if c.seen == nil || len(c.seen) >= maxDead {
		c.seen = map[string]outage{}
	}
	c.seen[endpoint] = outage{at: time.Now(), err: err}
}

func (c *cooldowns) duration() time.Duration {
	if c.period > 0 {
		return c.period
	}
	return defaultCooldown
}

// unreachable tells a dead endpoint from one that answers, and from a request
// that was given up.
func unreachable(req *http.Request, err error) bool {
	if err == nil || req.Context().Err() != nil {
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}
