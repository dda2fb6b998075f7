package certsd

import "github.com/certsd/containerd-certsd/internal/safetext"

// record adds an attempt, calls the hook, and returns the attempt's number in the
// trail.
func (rd *round) record(a Attempt) int {
	rd.attempts = append(rd.attempts, a)
	if hook := rd.transport.Hooks.OnAttempt; hook != nil && a.Skipped == "" {
		hook(a)
	}
	if rd.trail == nil {
		return -1
	}
	return rd.trail.Record(a)
}

// attempt returns an attempt with what is known before it is made.
func (rd *round) attempt(id *Identity) Attempt {
	a := Attempt{
		Registry: rd.route.registry, Host: rd.req.URL.Host, URL: safetext.URL(rd.req.URL), Method: rd.req.Method,
		Dir: rd.route.to.ConfigDir(), Identity: nameOf(id),
	}
	if a.Method == "" {
		a.Method = "GET"
	}
	if id == nil {
		return a
	}
	if leaf := id.Leaf(); leaf != nil {
		a.Subject, a.Issuer = id.Names()
		a.NotBefore, a.NotAfter, a.Leaf = leaf.NotBefore, leaf.NotAfter, leaf
	}
	return a
}

// result returns an attempt with its outcome.
func (rd *round) result(id *Identity, x *exchange, o reply) Attempt {
	a := rd.attempt(id)
	if c := x.connection(); c != nil {
		a.Asked, a.Offered, a.Resumed = c.asked.Load(), c.offered.Load(), c.resumed.Load()
		if a.Asked {
			rd.route.to.state.asks.Store(true)
			rd.route.to.state.accepts.Store(c.cas.Load())
		}
		if peer := c.peer.Load(); peer != nil {
			rd.peer = peer
		}
	}
	a.Fresh, a.Status, a.Err, a.BeforeTLS = o.fresh, o.status, o.err, o.early
	a.Refused = o.certificateRefused() && (a.Identity != "" || a.Asked || a.Resumed)
	return a
}
