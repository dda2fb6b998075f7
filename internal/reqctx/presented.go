package reqctx

import (
	"context"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// Presented records which identities were presented for a request, and which must not
// be presented for it again: a refusal may become visible only where the answer
// redirects. nginx's error page for a refused certificate may be a redirect to a login
// page.
type Presented struct {
	// mu guards what follows.
	mu      sync.Mutex
	usable  []*hostdir.Identity
	last    *hostdir.Identity
	refused []*hostdir.Identity
}

type presentedKey struct{}

// WithPresented returns a context for one request that is repeated after
// [Presented.Refuse].
func WithPresented(ctx context.Context) (context.Context, *Presented) {
	p := &Presented{}
	return context.WithValue(ctx, presentedKey{}, p), p
}

// PresentedIn returns the Presented in a context of [WithPresented], nil for any other.
// For a redirected request, pass the context of the original one.
func PresentedIn(ctx context.Context) *Presented {
	p, _ := ctx.Value(presentedKey{}).(*Presented)
	return p
}

// Refuse records that the identity presented last was refused, and reports whether
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

// Remaining returns the identities that were not refused, and in from the one refused
// last. If all were refused, it returns all.
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

// Present records that an identity is presented.
func (p *Presented) Present(id *hostdir.Identity) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = id
}
