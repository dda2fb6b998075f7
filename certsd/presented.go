package certsd

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Presented knows which identities were presented for a request, and which of
// them are not to be presented for it again: what a server thinks of one may
// only be seen where its answer leads. nginx's error pages for a refused
// certificate may be a redirect to a page that asks for a password.
type Presented struct {
	// mu guards what follows.
	mu      sync.Mutex
	usable  []*Identity
	last    *Identity
	refused []*Identity
}

type presentedKey struct{}

// WithPresented returns a context for one request that is made again after
// [Presented.Refuse].
func WithPresented(ctx context.Context) (context.Context, *Presented) {
	p := &Presented{}
	return context.WithValue(ctx, presentedKey{}, p), p
}

// PresentedFor returns what was presented for a request that was redirected, or
// for the request itself; nil if its context is none of [WithPresented].
func PresentedFor(req *http.Request) *Presented {
	return presentedIn(chainOf(req).first.Context())
}

func presentedIn(ctx context.Context) *Presented {
	p, _ := ctx.Value(presentedKey{}).(*Presented)
	return p
}

// Refuse says that the identity presented last was refused. It reports whether
// another is left to present.
func (p *Presented) Refuse() bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return false
	}
	if !slices.Contains(p.refused, p.last) {
		p.refused = append(p.refused, p.last)
	}
	return slices.ContainsFunc(p.usable, func(id *Identity) bool { return !slices.Contains(p.refused, id) })
}

// Refused are the names of the identities that were refused.
func (p *Presented) Refused() []string {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, len(p.refused))
	for i, id := range p.refused {
		names[i] = id.Name
	}
	return names
}

// remaining are the identities that were not refused; from tells which was
// refused last. If all were, they are what there is.
func (p *Presented) remaining(identities []*Identity) (left []*Identity, from *Identity) {
	if p == nil {
		return identities, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.usable = identities
	if len(p.refused) == 0 {
		return identities, nil
	}
	left = slices.DeleteFunc(slices.Clone(identities), func(id *Identity) bool { return slices.Contains(p.refused, id) })
	if len(left) == 0 {
		return identities, nil
	}
	return left, p.refused[len(p.refused)-1]
}

func (p *Presented) present(id *Identity) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = id
}

// reasonPage is the reason of a rotation after [Presented.Refuse].
const reasonPage = "redirected to a page"

type grantKey struct{}

// grant is an Authorization that a server gave to whoever asked.
type grant struct {
	origin hostname.Origin
	value  string
}

// WithGrant returns a context in which the request may carry its Authorization
// to its host although another one redirected there: the host's own token
// server gave it to somebody who showed neither a password nor a certificate.
// It is sent to the scheme, host and port of req and to no other.
func WithGrant(req *http.Request) context.Context {
	return context.WithValue(req.Context(), grantKey{}, grant{hostname.OriginOf(req.URL), req.Header.Get("Authorization")})
}

// granted is the Authorization that a redirected request may carry, empty for
// none.
func granted(req *http.Request) string {
	g, ok := req.Context().Value(grantKey{}).(grant)
	if !ok || g.origin != hostname.OriginOf(req.URL) || g.value != req.Header.Get("Authorization") {
		return ""
	}
	return g.value
}
