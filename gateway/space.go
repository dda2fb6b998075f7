package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
)

// space is what is known of the room in a store.
type space struct {
	// mu guards the rest, and is held while room is made.
	mu sync.Mutex
	// looked reports whether total is what was stored at the last look, and written what
	// has come since.
	looked         bool
	total, written int64
}

// errNoRoom ends a conversion.
var errNoRoom = errors.New("converted images may not take more room room")

// reserve makes room for n bytes more of a conversion, or reports that there is none:
// what does not fit is given up before it is there. Images go that no client has
// asked for in a minute, those of conversions under way stay.
func (s *imageStore) reserve(ctx context.Context, n int64) error {
	if s.limit <= 0 {
		return nil
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	s.space.written += n
	if s.space.looked && s.space.total+s.space.written <= s.limit {
		return nil
	}
	for _, idle := range []time.Duration{inUse, justUsed} {
		_, total, err := s.makeRoom(ctx, n, idle)
		if err != nil {
			log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be cleaned up")
		}
		s.space.looked, s.space.total, s.space.written = true, total, n
		if total+n <= s.limit {
			return nil
		}
	}
	return fmt.Errorf("%w than store_size, %d bytes, and those in use leave too little room for this one: raise store_size, or try again later", errNoRoom, s.limit)
}

// writes notes that an unfinished blob is being written, until what it returns is
// called.
func (s *imageStore) writes(ref string) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing[ref]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.writing[ref]--; s.writing[ref] <= 0 {
			delete(s.writing, ref)
		}
	})
}

// reads notes that a client reads a blob, until what it returns is called.
func (s *imageStore) reads(d digest.Digest) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[d]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.used[d] = time.Now()
		if s.readers[d]--; s.readers[d] <= 0 {
			delete(s.readers, d)
		}
	}
}

// dropLeftovers removes what failed conversions have left, all of it, and returns
// how many bytes that were.
func (s *imageStore) dropLeftovers(ctx context.Context) (freed int64) {
	v, err := s.take(ctx)
	if v == nil {
		return 0
	}
	before := v.total
	err = errors.Join(err, s.dropUnfinished(ctx, v, 0), s.dropOrphans(ctx, v, 0))
	if err != nil {
		log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be cleaned up")
	}
	return before - v.total
}
