package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// holds records who relies on stored blobs, and when they were last requested. It
// decides what may be removed, but removes nothing itself.
type holds struct {
	// mu guards the rest, and is held while a blob is removed.
	mu sync.Mutex
	// pins counts the conversions that rely on a blob.
	pins map[digest.Digest]int
	// used is when a blob was last requested.
	used map[digest.Digest]time.Time
	// verified are the blobs that this process has read completely.
	verified map[digest.Digest]bool
	// readers counts the clients that read a blob, writing the writers of an
	// unfinished one.
	readers map[digest.Digest]int
	writing map[string]int
}

func newHolds() holds {
	return holds{
		pins: map[digest.Digest]int{}, used: map[digest.Digest]time.Time{}, verified: map[digest.Digest]bool{},
		readers: map[digest.Digest]int{}, writing: map[string]int{},
	}
}

// pinned are the blobs that one conversion relies on.
type pinned struct {
	holds *holds

	// mu guards digests.
	mu      sync.Mutex
	digests map[digest.Digest]bool
}

type pinnedKey struct{}

// withPins returns a context whose conversions pin the blobs that they use, until
// release is called.
func (h *holds) withPins(ctx context.Context) (_ context.Context, release func()) {
	p := &pinned{holds: h, digests: map[digest.Digest]bool{}}
	return context.WithValue(ctx, pinnedKey{}, p), p.release
}

// pin keeps a blob from being removed. It may already be gone: check after pinning.
func (h *holds) pin(ctx context.Context, d digest.Digest) {
	p, ok := ctx.Value(pinnedKey{}).(*pinned)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.digests[d] {
		return
	}
	p.digests[d] = true
	h.mu.Lock()
	h.pins[d]++
	h.mu.Unlock()
}

func (p *pinned) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds.mu.Lock()
	defer p.holds.mu.Unlock()
	for d := range p.digests {
		if p.holds.pins[d]--; p.holds.pins[d] <= 0 {
			delete(p.holds.pins, d)
		}
	}
	clear(p.digests)
}

// reads records that a client reads a blob, until done is called.
func (h *holds) reads(d digest.Digest) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[d]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.used[d] = time.Now()
		if h.readers[d]--; h.readers[d] <= 0 {
			delete(h.readers, d)
		}
	}
}

// writes records that an unfinished blob is being written, until done is called.
func (h *holds) writes(ref string) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writing[ref]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.writing[ref]--; h.writing[ref] <= 0 {
			delete(h.writing, ref)
		}
	})
}

// asked records when a blob was requested, and returns the previous time.
func (h *holds) asked(d digest.Digest, at time.Time) (before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, h.used[d] = h.used[d], at
	return before
}

// lastUsed returns when one of the blobs was last requested, or after if that is later:
// now, if a client is reading one.
func (h *holds) lastUsed(after time.Time, blobs ...digest.Digest) time.Time {
	last := after
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range blobs {
		if h.readers[d] > 0 {
			return time.Now()
		}
		if used := h.used[d]; used.After(last) {
			last = used
		}
	}
	return last
}

// removing calls remove unless a conversion relies on a blob or a client is reading it.
// Once the blob is gone, its records are dropped.
func (h *holds) removing(d digest.Digest, remove func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pins[d] > 0 || h.readers[d] > 0 {
		return nil
	}
	if err := remove(); err != nil {
		return err
	}
	delete(h.used, d)
	delete(h.verified, d)
	return nil
}

// discarding calls remove even if somebody relies on the blob: it is damaged.
func (h *holds) discarding(d digest.Digest, remove func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.verified, d)
	return remove()
}

// aborting calls abort unless an unfinished blob is being written.
func (h *holds) aborting(ref string, abort func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writing[ref] > 0 {
		return nil
	}
	return abort()
}

func (h *holds) isVerified(d digest.Digest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.verified[d]
}

func (h *holds) setVerified(d digest.Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verified[d] = true
}
