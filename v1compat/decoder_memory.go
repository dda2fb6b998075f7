package v1compat

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// windows bounds how many memory-hungry layers are decompressed at a time: one per
// registry, so that a stalled one delays no other registry, and few in all, as they
// share the memory of the process.
type windows struct {
	all *semaphore.Weighted

	// mu guards byRegistry, which holds the windows in use or waited for.
	mu         sync.Mutex
	byRegistry map[string]*window
}

// window admits the large layers of one registry, one at a time.
type window struct {
	turn  *semaphore.Weighted
	users int
}

// maxLarge is how many layers may use maxDictionary at a time.
const maxLarge = 4

var largeWindows = windows{all: semaphore.NewWeighted(maxLarge)}

// acquire waits until a large layer of the registry may be decompressed, and returns
// the function to call afterwards. Layers of one registry wait for each other first,
// while they hold nothing that other registries wait for.
func (w *windows) acquire(ctx context.Context, registry string) (release func(), err error) {
	own := w.of(registry)
	if err := own.turn.Acquire(ctx, 1); err != nil {
		w.leave(registry, own)
		return nil, err
	}
	if err := w.all.Acquire(ctx, 1); err != nil {
		own.turn.Release(1)
		w.leave(registry, own)
		return nil, err
	}
	return func() {
		w.all.Release(1)
		own.turn.Release(1)
		w.leave(registry, own)
	}, nil
}

func (w *windows) of(registry string) *window {
	w.mu.Lock()
	defer w.mu.Unlock()
	own, ok := w.byRegistry[registry]
	if !ok {
		if w.byRegistry == nil {
			w.byRegistry = map[string]*window{}
		}
		own = &window{turn: semaphore.NewWeighted(1)}
		w.byRegistry[registry] = own
	}
	own.users++
	return own
}

func (w *windows) leave(registry string, own *window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(w.byRegistry, registry)
	}
}
