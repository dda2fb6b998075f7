package imageservice

import (
	"context"
	"sync"
)

// keyedLocks are locks by name: containerd's unpacker takes one for each layer. The
// zero value is ready to use.
type keyedLocks struct {
	// mu guards byKey.
	mu    sync.Mutex
	byKey map[string]*keyedLock
}

// keyedLock is held by the goroutine that has sent to turn.
type keyedLock struct {
	turn  chan struct{}
	users int
}

// Lock waits for the lock of a name.
func (l *keyedLocks) Lock(ctx context.Context, key string) error {
	l.mu.Lock()
	if l.byKey == nil {
		l.byKey = map[string]*keyedLock{}
	}
	k := l.byKey[key]
	if k == nil {
		k = &keyedLock{turn: make(chan struct{}, 1)}
		l.byKey[key] = k
	}
	k.users++
	l.mu.Unlock()

	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.leave(key, k)
		return ctx.Err()
	}
}

// Unlock releases the lock of a name.
func (l *keyedLocks) Unlock(key string) {
	l.mu.Lock()
	k := l.byKey[key]
	l.mu.Unlock()
	if k == nil {
		panic("unlock of a lock that is not held: " + key)
	}
	<-k.turn
	l.leave(key, k)
}

func (l *keyedLocks) leave(key string, k *keyedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.users--
	if k.users == 0 {
		delete(l.byKey, key)
	}
}
