package bounded

import (
	"context"
	"fmt"
	"sync"
)

// Account records the requests made for one call: why a download broke off, for readers
// that see only io.ErrUnexpectedEOF, and which servers answered 429, for clients that
// repeat a refused request at once. A nil Account records nothing.
type Account struct {
	mu       sync.Mutex
	last     error
	refusals map[string]*refusal
}

type accountKey struct{}

// WithAccount returns a context whose requests are recorded in an Account.
func WithAccount(ctx context.Context) (context.Context, *Account) {
	a := &Account{}
	return context.WithValue(ctx, accountKey{}, a), a
}

func accountOf(ctx context.Context) *Account {
	a, _ := ctx.Value(accountKey{}).(*Account)
	return a
}

// Last returns why the last download broke off, nil if none did.
func (a *Account) Last() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

func (a *Account) note(host string, why error) {
	if a == nil {
		return
	}
	switch why.(type) { //nolint:errorlint // as body has them
	case *StalledError, *SlowError: // their texts name the host
	default:
		why = fmt.Errorf("%s broke off: %w", host, why)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = why
}
