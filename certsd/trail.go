package certsd

import (
	"context"
	"crypto/x509"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Attempt is one identity presented to a server, or passed over.
type Attempt struct {
	// Registry is the registry on whose behalf the request was made, Host the
	// host[:port] it went to, URL its URL without user, query and fragment.
	Registry, Host, URL, Method string
	// Dir is the directory the TLS settings are from, empty if there is none.
	Dir string
	// Identity is the name of the certificate file, empty if there was none to
	// present; what follows is from the certificate.
	Identity            string
	Subject, Issuer     string
	NotBefore, NotAfter time.Time
	// Leaf is the certificate itself, nil for none. It must not be changed.
	Leaf *x509.Certificate
	// Asked reports whether the server asked for a client certificate on this
	// connection, Offered that the identity was presented. Both are false on a
	// connection that takes up an earlier TLS session, for which Resumed is
	// true: what was presented then counts.
	Asked, Offered, Resumed bool
	// Fresh reports whether the request was the first on its connection.
	Fresh bool
	// Skipped says why the identity was passed over, empty if it was not.
	Skipped string
	// Unusable reports whether there is no such identity to present: something is
	// wrong with its files, and Skipped says what. Identity is the file's name.
	Unusable bool
	// Status is the answer's status, zero if there was none. Answer is what its
	// body says, in one short line: of an answer that was returned only as far
	// as somebody read it.
	Status int
	Answer string
	// Err is why there was no answer.
	Err error
	// Refused reports whether the client certificate, or the want of one, was
	// refused in a way that is no status: an alert, a connection cut after the
	// server asked for a certificate, 495 and 496 and nginx's 400 for either.
	Refused bool
	// Reason is why the next identity was tried, empty if that did not happen.
	Reason string
	// Faults are what is wrong on this machine and may be why the request
	// failed: client certificates that were not presented, or are not what the
	// server wants, and directories with almost the right name. They are set in
	// the last attempt of a round.
	Faults []*Problem
	// Hint is what to do, where something can be done.
	Hint string
	// BeforeTLS reports whether there was no answer since TLS did not come about,
	// and the server had not asked for a client certificate.
	BeforeTLS bool
}

// maxAttempts bounds a trail.
const maxAttempts = 256

// Trail is an account of what was tried. Its methods may be called concurrently.
type Trail struct {
	// mu guards what follows.
	mu       sync.Mutex
	attempts []Attempt
	// dropped is how many attempts in front of the first had to go.
	dropped int
	// secrets are what the requests had that must not be shown, bounded.
	secrets map[string]bool
}

// maxSecrets bounds how many secrets a trail knows.
const maxSecrets = 1024

// keepSecret remembers what must not be shown.
func (t *Trail) keepSecret(secrets []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) < longSecret || t.secrets[secret] || len(t.secrets) >= maxSecrets {
			continue
		}
		if t.secrets == nil {
			t.secrets = map[string]bool{}
		}
		t.secrets[secret] = true
	}
}

// longSecret is the length from which a secret is taken out of whole errors,
// which have names of ours, too.
const longSecret = 8

// Safe returns text without the secrets of the requests recorded so far, however
// they came into it, and without characters that do not print but line breaks
// and tabs. Errors made of what a server said are to be shown through it.
func (t *Trail) Safe(text string) string {
	t.mu.Lock()
	secrets := make([]string, 0, len(t.secrets))
	for secret := range t.secrets {
		secrets = append(secrets, secret)
	}
	t.mu.Unlock()
	return safetext.Text(safetext.Hide(text, secrets...))
}

type trailKey struct{}

// WithTrail returns a context whose requests are recorded in the trail. The
// newest 256 attempts are kept.
func WithTrail(ctx context.Context) (context.Context, *Trail) {
	trail := &Trail{}
	return context.WithValue(ctx, trailKey{}, trail), trail
}

// TrailOf returns the trail that the requests made with a context are recorded
// in, nil for none.
func TrailOf(ctx context.Context) *Trail { return trailOf(ctx) }

func trailOf(ctx context.Context) *Trail {
	trail, _ := ctx.Value(trailKey{}).(*Trail)
	return trail
}

// Attempts returns the attempts in the order in which they ended.
func (t *Trail) Attempts() []Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Attempt(nil), t.attempts...)
}

// Dropped is how many attempts were made before the first of Attempts.
func (t *Trail) Dropped() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Record adds an attempt that no Transport made, such as one that was refused
// before it came to that.
func (t *Trail) Record(a Attempt) { t.add(a) }

// add records an attempt and returns its number. That an identity was passed
// over is recorded once.
func (t *Trail) add(a Attempt) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Skipped != "" {
		for _, b := range t.attempts {
			if a.Host == b.Host && a.Identity == b.Identity && a.Skipped == b.Skipped && a.Dir == b.Dir {
				return -1
			}
		}
	}
	if len(t.attempts) == maxAttempts {
		t.attempts = append(t.attempts[:0], t.attempts[1:]...)
		t.dropped++
	}
	t.attempts = append(t.attempts, a)
	return t.dropped + len(t.attempts) - 1
}

// answer fills in what the answer to an attempt says.
func (t *Trail) answer(number int, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := number - t.dropped; i >= 0 && i < len(t.attempts) {
		t.attempts[i].Answer = text
	}
}

// record keeps an attempt, tells the hook, and returns its number in the trail.
func (rd *round) record(a Attempt) int {
	rd.attempts = append(rd.attempts, a)
	if hook := rd.transport.Hooks.OnAttempt; hook != nil && a.Skipped == "" {
		hook(a)
	}
	if rd.trail == nil {
		return -1
	}
	return rd.trail.add(a)
}

// attempt returns an attempt with what is known before.
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

// result returns an attempt with what came back.
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
