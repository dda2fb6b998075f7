package resolver

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// shared is a docker authorizer for one request at a time: others wait while one
// fetches a token. docker's own way of waiting would give all of them, and later
// ones, the error of a request that was cancelled.
type shared struct {
	inner docker.Authorizer
	// turn is held by one request at a time.
	turn chan struct{}
	// over reports whether this authorizer has failed, and err why. turn guards both.
	over bool
	err  error

	// mu guards given, the authorizations handed to requests.
	mu    sync.Mutex
	given map[string]bool
}

func newShared(inner docker.Authorizer) *shared {
	return &shared{inner: inner, turn: make(chan struct{}, 1), given: map[string]bool{}}
}

// authorize adds a token, or a password, to a request. After an error no further
// request may use this authorizer: forget is called before others have their turn.
func (s *shared) authorize(ctx context.Context, req *http.Request, forget func() bool) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.over {
		return s.err
	}
	err := s.inner.Authorize(ctx, req)
	if err == nil {
		s.gave(req.Header.Get("Authorization"))
		return nil
	}
	forget()
	s.over = true
	if ctx.Err() == nil {
		// Waiting requests would get the same error.
		s.err = err
	}
	return err
}

// refused examines the authorization that was answered with the last 401. If it came
// from here, it is forgotten with forget the first time; the second time the answer
// stands. If it did not, or if another request has forgotten it meanwhile, it was
// replaced and the request must be repeated.
func (s *shared) refused(responses []*http.Response, forget func() bool) (again bool, err error) {
	last := responses[len(responses)-1].Request
	authorization := last.Header.Get("Authorization")
	switch {
	case authorization == "":
		return false, nil
	case !s.hasGiven(authorization):
		return true, nil
	case challenges(responses) > 1:
		return false, fmt.Errorf("%s refuses what it asked for: %w", last.URL.Host, errdefs.ErrNotImplemented)
	}
	return !forget(), nil
}

// challenges counts the 401 answers of the server that answered last.
func challenges(responses []*http.Response) int {
	n := 0
	for _, r := range responses {
		if r.StatusCode == http.StatusUnauthorized && hostname.SameOrigin(r.Request.URL, responses[len(responses)-1].Request.URL) {
			n++
		}
	}
	return n
}

// maxGiven bounds the remembered tokens: one for each scope.
const maxGiven = 64

func (s *shared) gave(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.given) >= maxGiven {
		clear(s.given)
	}
	s.given[authorization] = true
}

func (s *shared) hasGiven(authorization string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given[authorization]
}
