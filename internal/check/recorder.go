package check

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// recorder records the attempts of pulls and pushes.
type recorder struct {
	// mu guards the attempts, and the protocol of the image that was converted, "" if
	// none was.
	mu        sync.Mutex
	seen      []certsd.Attempt
	converted string
}

// watching returns hooks that also record each attempt.
func (r *recorder) watching(hooks certsd.Hooks) certsd.Hooks {
	told := hooks.OnAttempt
	hooks.OnAttempt = func(a certsd.Attempt) {
		told(a)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, a)
	}
	return hooks
}

// forget drops the recorded attempts.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

// protocol returns the protocol of the image that was converted, or "".
func (r *recorder) protocol() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.converted
}

// attempts returns the attempts that led to err, with the message of each answer, which
// only the resolver's trail has.
func (r *recorder) attempts(err error) []certsd.Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempts := slices.Clone(r.seen)
	var e *resolver.Error
	if errors.As(err, &e) {
		for _, told := range e.Trail.Attempts() {
			for i, a := range attempts {
				if a.Answer == "" && a.Method == told.Method && a.URL == told.URL && a.Identity == told.Identity && a.Status == told.Status {
					attempts[i].Answer = told.Answer
				}
			}
		}
	}
	return attempts
}

func (r *recorder) isConverted(_ context.Context, c resolver.Conversion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.converted = c.Protocol
}
