// Package trail records what was tried for a request: each client
// certificate with the answer to it, and what to do. trail.go collects attempts,
// attempt.go is one of them, format.go prints them.
package trail

import (
	"context"
	"sync"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxAttempts bounds a trail.
const maxAttempts = 256

// Trail is an account of what was tried. Its methods may be called concurrently.
type Trail struct {
	// mu guards what follows.
	mu       sync.Mutex
	attempts []Attempt
	// dropped is how many attempts in front of the first had to go.
	dropped int
	// secrets are what the requests had that must not be shown, bounded.
	secrets map[string]bool
}

// maxSecrets bounds how many secrets a trail knows.
const maxSecrets = 1024

// Keep remembers what must not be shown.
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

// longSecret is the length from which a secret is taken out of whole errors,
// which have names of ours, too.
const longSecret = 8

// Safe returns text without the secrets of the requests recorded so far, however
// they came into it, and without characters that do not print but line breaks
// and tabs. Show errors made of a server's words through it.
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

// Of returns the trail that the requests made with a context are recorded in, nil
// for none.
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

// Dropped returns how many attempts were made before the first of Attempts.
func (t *Trail) Dropped() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Record adds an attempt and returns its number: one of a Transport, or one that
// was refused before it came to that. That an identity was passed over is
// recorded once.
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

// Answer fills in what the answer to an attempt says.
func (t *Trail) Answer(number int, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := number - t.dropped; i >= 0 && i < len(t.attempts) {
		t.attempts[i].Answer = text
	}
}
