package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/log"
)

// room keeps the store within its limit by removing the least recently used images.
// Images being converted stay, and so do those requested in the last minutes: their
// clients are still fetching layers.
type room struct {
	store *imageStore
	// limit is in bytes; zero means none.
	limit int64

	// mu guards the rest, and is held while room is made.
	mu sync.Mutex
	// looked reports whether total was ever determined; written is what was added
	// since.
	looked         bool
	total, written int64
}

// errNoRoom ends a conversion that does not fit.
var errNoRoom = errors.New("converted images may not take more room")

// reserve makes room for n more bytes of a conversion, or fails: a conversion that does
// not fit is given up before it is written. It removes images that no client requested
// in the last minute; those of conversions in progress stay.
func (r *room) reserve(ctx context.Context, n int64) error {
	if r.limit <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += n
	if r.looked && r.total+r.written <= r.limit {
		return nil
	}
	for _, idle := range []time.Duration{inUse, justUsed} {
		_, total, err := r.makeRoom(ctx, n, idle)
		if err != nil {
			log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be cleaned up")
		}
		r.looked, r.total, r.written = true, total, n
		if total+n <= r.limit {
			return nil
		}
	}
	return fmt.Errorf("%w than store_size, %d bytes, and those in use leave too little room for this one: raise store_size, or try again later", errNoRoom, r.limit)
}

// dropLeftovers removes all remains of failed conversions, and returns how many
// bytes it freed.
func (r *room) dropLeftovers(ctx context.Context) (freed int64) {
	v, err := take(ctx, r.store)
	if v == nil {
		return 0
	}
	before := v.total
	err = errors.Join(err, r.dropUnfinished(ctx, v, 0), r.dropOrphans(ctx, v, 0))
	if err != nil {
		log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be cleaned up")
	}
	return before - v.total
}
