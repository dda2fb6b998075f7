package reqctx

import (
	"context"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// Presented knows which identities were presented for a request, and which of
// them are not to be presented for it again: what a server thinks of one may
// only be seen where its answer leads. nginx's error pages for a refused
// certificate may be a redirect to a page that asks for a password.
type Presented struct {
	// mu guards what follows.
	mu      sync.Mutex
	usable  []*hostdir.Identity
	last    *hostdir.Identity
	refused []*hostdir.Identity
}

type presentedKey struct{}

// WithPresented returns a context for one request that is made again after
// [Presented.Refuse].
func WithPresented(ctx context.Context) (context.Context, *Presented) {
	p := &Presented{}
	return context.WithValue(ctx, presentedKey{}, p), p
}

// PresentedIn returns what the context of a request has, nil if it is none of
// [WithPresented]. That of a request which follows redirects is the context of
// the one that was asked for.
func PresentedIn(ctx context.Context) *Presented {
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
	return slices.ContainsFunc(p.usable, func(id *hostdir.Identity) bool { return !slices.Contains(p.refused, id) })
}

// Refused returns the names of the identities that were refused.
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

// Remaining returns the identities that were not refused; from tells which was
// refused last. If all were, they are what there is.
func (p *Presented) Remaining(identities []*hostdir.Identity) (left []*hostdir.Identity, from *hostdir.Identity) {
	if p == nil {
		return identities, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.usable = identities
	if len(p.refused) == 0 {
		return identities, nil
	}
	left = slices.DeleteFunc(slices.Clone(identities), func(id *hostdir.Identity) bool { return slices.Contains(p.refused, id) })
	if len(left) == 0 {
		return identities, nil
	}
	return left, p.refused[len(p.refused)-1]
}

// Present notes that an identity is presented.
func (p *Presented) Present(id *hostdir.Identity) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = id
}
