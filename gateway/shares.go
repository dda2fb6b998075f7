package gateway

import (
	"context"
	"slices"
	"sync"
)

// shares are slots for which registries compete. Each may take half of the slots that
// the others do not hold, and at least one: a registry that does not answer keeps its
// share, and leaves as much for the others.
type shares struct {
	size int

	// mu guards the rest.
	mu   sync.Mutex
	held map[string]int
	all  int
	// waiting are served in order, except those whose registry has its full share.
	waiting []*turn
}

// turn is a request that waits for a slot.
type turn struct {
	who   string
	given chan struct{}
}

func newShares(size int) *shares { return &shares{size: size, held: map[string]int{}} }

// free reports whether a registry may take a slot. The caller holds mu.
func (s *shares) free(who string) bool {
	mine := s.held[who]
	share := max(1, (s.size-(s.all-mine)+1)/2)
	return s.all < s.size && mine < share
}

// take takes a slot. The caller holds mu.
func (s *shares) take(who string) {
	s.held[who]++
	s.all++
}

// tryAcquire takes a slot if one is available.
func (s *shares) tryAcquire(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.free(who) {
		return false
	}
	s.take(who)
	return true
}

// acquire waits for a slot.
func (s *shares) acquire(ctx context.Context, who string) error {
	s.mu.Lock()
	if s.free(who) {
		s.take(who)
		s.mu.Unlock()
		return nil
	}
	t := &turn{who: who, given: make(chan struct{})}
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	select {
	case <-t.given:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, t); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	} else {
		s.giveBack(who)
	}
	return ctx.Err()
}

// release gives a slot back.
func (s *shares) release(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(who)
}

// giveBack hands a slot to the next in line. The caller holds mu.
func (s *shares) giveBack(who string) {
	s.all--
	if s.held[who]--; s.held[who] <= 0 {
		delete(s.held, who)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(t *turn) bool {
		if !s.free(t.who) {
			return false
		}
		s.take(t.who)
		close(t.given)
		return true
	})
}

// share is a v1compat.Limiter for one registry; each acquisition takes one slot.
type share struct {
	*shares
	who string
}

// Acquire implements v1compat.Limiter. A conversion that waits for a slot to load a
// layer has begun.
func (s share) Acquire(ctx context.Context, _ int64) error {
	flightIn(ctx).begin()
	return s.acquire(ctx, s.who)
}

// Release implements v1compat.Limiter.
func (s share) Release(int64) { s.release(s.who) }
