// Package trail records what was tried for a request: each client certificate with its
// answer, and what to do. trail.go collects attempts, attempt.go defines one, format.go
// prints them.
package trail

import (
	"context"
	"sync"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxAttempts bounds the number of attempts in a trail.
const maxAttempts = 256

// Trail is an account of what was tried. Its methods may be called concurrently.
type Trail struct {
	// mu guards what follows.
	mu       sync.Mutex
	attempts []Attempt
	// dropped is the number of attempts dropped before the first one kept.
	dropped int
	// secrets are the parts of requests that must not be shown, at most maxSecrets.
	secrets map[string]bool
}

// maxSecrets bounds how many secrets a trail knows.
const maxSecrets = 1024

// Keep adds secrets for [Trail.Safe] to remove.
func (t *Trail) Keep(secrets []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, secret := range secrets {
		if len(secret) < longSecret || t.secrets[secret] || len(t.secrets) >= maxSecrets {
			continue
		}
		if t.secrets == nil {
			t.secrets = map[string]bool{}
		}
		t.secrets[secret] = true
	}
}

// longSecret is the minimum length of a secret that is removed from errors: a shorter
// one might occur in our own words.
const longSecret = 8

// Safe returns text without the secrets of the requests recorded so far, and without
// characters that do not print, except line breaks and tabs. Pass errors that quote a
// server through it before showing them.
func (t *Trail) Safe(text string) string {
	t.mu.Lock()
	secrets := make([]string, 0, len(t.secrets))
	for secret := range t.secrets {
		secrets = append(secrets, secret)
	}
	t.mu.Unlock()
	return safetext.Text(safetext.Hide(text, secrets...))
}

type trailKey struct{}

// With returns a context whose requests are recorded in the trail. The newest 256
// attempts are kept.
func With(ctx context.Context) (context.Context, *Trail) {
	trail := &Trail{}
	return context.WithValue(ctx, trailKey{}, trail), trail
}

// Of returns the trail that records the requests made with ctx, nil for none.
func Of(ctx context.Context) *Trail {
	trail, _ := ctx.Value(trailKey{}).(*Trail)
	return trail
}

// Attempts returns the attempts in the order in which they ended.
func (t *Trail) Attempts() []Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Attempt(nil), t.attempts...)
}

// Dropped returns the number of attempts made before the first of Attempts.
func (t *Trail) Dropped() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Record adds an attempt, made by a Transport or refused before that, and returns its
// number. An identity that was passed over is recorded once; later calls for it return
// -1.
func (t *Trail) Record(a Attempt) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.Skipped != "" {
		for _, b := range t.attempts {
			if a.Host == b.Host && a.Identity == b.Identity && a.Skipped == b.Skipped && a.Dir == b.Dir {
				return -1
			}
		}
	}
	if len(t.attempts) == maxAttempts {
		t.attempts = append(t.attempts[:0], t.attempts[1:]...)
		t.dropped++
	}
	t.attempts = append(t.attempts, a)
	return t.dropped + len(t.attempts) - 1
}

// Answer sets the text of the answer to an attempt.
func (t *Trail) Answer(number int, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := number - t.dropped; i >= 0 && i < len(t.attempts) {
		t.attempts[i].Answer = text
	}
}
