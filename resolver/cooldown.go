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

// defaultCooldown is long enough to keep the blobs of a pull from waiting for the
// same dead mirror, and short enough for the next pull to notice its return.
const defaultCooldown = 10 * time.Second

// maxDead bounds cooldowns.seen: host names come from configuration, but also from
// references through _default directories.
const maxDead = 1024

// cooldowns remembers the endpoints that could not be reached.
type cooldowns struct {
	// period is the configured cooldown: see Hosts.Cooldown.
	period time.Duration

	// mu guards seen.
	mu   sync.Mutex
	seen map[string]outage
}

type outage struct {
	at  time.Time
	err error
}

// guard returns a RoundTripper that fails requests to an endpoint known to be dead if
// another one may answer instead. An endpoint without alternatives is always asked.
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

// withoutCooldown exempts requests that have only one endpoint to go to, such as
// pushes.
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

// check returns an error if an endpoint must not be asked now.
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

// outage returns the outage of an endpoint, and for how long it still counts. The
// caller holds mu.
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
		// The caller gave up, which says nothing about the endpoint.
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

// waitedEnough reports whether the caller gave up because of the endpoint, and said
// so with a cause of its own: a mere deadline may have any reason.
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

// unreachable reports whether an error shows a dead endpoint. One that accepts
// connections and then stays silent is dead, too, and costs each blob more time than
// one that refuses them.
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

// Outage describes an unreachable endpoint, which is skipped while another is left.
type Outage struct {
	// Endpoint is its scheme and host.
	Endpoint string
	// At is when it could not be reached, Until when it will be tried again.
	At, Until time.Time
	// Err is the error of that attempt.
	Err error
}

// Outages returns the endpoints that are skipped now, sorted by name.
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
