package imageservice

import (
	"context"
	"errors"
	"sync"
)

// flights holds the pulls under way. The zero value is ready to use.
type flights struct {
	// mu guards the rest.
	mu    sync.Mutex
	byKey map[flightKey]*flight
	// running counts all pulls that have not ended, including those without a
	// waiting caller and those that are only passed through.
	running int
	// idle are channels to close when no pull is running.
	idle []chan struct{}
	over bool
}

// flight is one pull, shared by all callers. It ends when done, or when no caller waits
// any more.
type flight struct {
	waiting int
	cancel  context.CancelCauseFunc
	// done is closed when id and err are set.
	done chan struct{}
	id   string
	err  error
}

var (
	errUnwanted = errors.New("no client is waiting for the pull any more")
	errStopping = errors.New("certsd cri is being stopped")
)

// join waits for the pull with a key, and starts it if there is none.
func (f *flights) join(ctx context.Context, key flightKey, pull func(context.Context) (string, error)) (string, error) {
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		return "", errStopping
	}
	fl := f.byKey[key]
	if fl == nil {
		fl = f.begin(ctx, key, pull)
	}
	fl.waiting++
	f.mu.Unlock()

	select {
	case <-fl.done:
		return fl.id, fl.err
	case <-ctx.Done():
		f.leave(key, fl)
		return "", context.Cause(ctx)
	}
}

// begin starts a flight. mu is held.
func (f *flights) begin(ctx context.Context, key flightKey, pull func(context.Context) (string, error)) *flight {
	// The log uses the context values of the first caller.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	fl := &flight{cancel: cancel, done: make(chan struct{})}
	if f.byKey == nil {
		f.byKey = map[flightKey]*flight{}
	}
	f.byKey[key] = fl
	f.running++
	go func() {
		fl.id, fl.err = pull(ctx)
		cancel(nil)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.byKey[key] == fl {
			delete(f.byKey, key)
		}
		close(fl.done)
		f.running--
		f.settle()
	}()
	return fl
}

// leave removes a caller that no longer waits. Without callers the pull ends, and the
// next caller starts another.
func (f *flights) leave(key flightKey, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.waiting--
	if fl.waiting > 0 {
		return
	}
	fl.cancel(errUnwanted)
	if f.byKey[key] == fl {
		delete(f.byKey, key)
	}
}

// count counts a pull that is only passed through, until done is called.
func (f *flights) count() (done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
		f.settle()
	}
}

// settle notifies callers that wait for the end of all pulls. mu is held.
func (f *flights) settle() {
	if f.running > 0 {
		return
	}
	for _, c := range f.idle {
		close(c)
	}
	f.idle = nil
}

// none returns a channel that is closed once no pull is running.
func (f *flights) none() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan struct{})
	f.idle = append(f.idle, c)
	f.settle()
	return c
}

// cancel ends all pulls and waits for them. No more start afterwards.
func (f *flights) cancel() {
	f.mu.Lock()
	f.over = true
	for _, fl := range f.byKey {
		fl.cancel(errStopping)
	}
	f.mu.Unlock()
	<-f.none()
}
