package check

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// recorder keeps what pulls and pushes did.
type recorder struct {
	// mu guards what follows: what was tried, and the protocol of what was converted,
	// empty for nothing.
	mu        sync.Mutex
	seen      []certsd.Attempt
	converted string
}

// watching are hooks that tell it of each attempt.
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

// forget begins anew.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

// protocol is that of what was converted.
func (r *recorder) protocol() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.converted
}

// attempts returns those that led to err. What the answer to the last one says is
// in the account of the resolver alone.
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
