package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// defaultPatience is how long a request waits for a registry's answer or a conversion.
// containerd gives up after 30 seconds without a header.
const defaultPatience = 25 * time.Second

// lateError is why the context of a request that waited too long has ended.
type lateError struct {
	host  string
	after time.Duration
}

// Error implements error.
func (e *lateError) Error() string { return fmt.Sprintf("%s has not answered for %s", e.host, e.after) }

// Timeout and Temporary implement net.Error.
func (e *lateError) Timeout() bool   { return true }
func (e *lateError) Temporary() bool { return true }

// hurryKey is the context key of the time at which the client began to wait.
type hurryKey struct{}

// hurry returns a context that ends with a [lateError] unless the registry answers in
// time; its content may then take any time. answered must be called on the answer, and
// reports whether it was in time. The context itself ends with its parent.
func hurry(ctx context.Context, host string, patience time.Duration) (_ context.Context, answered func() (inTime bool)) {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, hurryKey{}, time.Now()))
	timer := time.AfterFunc(patience, func() { cancel(&lateError{host, patience}) })
	return ctx, func() bool {
		timer.Stop()
		_, late := isLate(ctx)
		return !late
	}
}

// isLate reports whether a context has ended because a registry was late.
func isLate(ctx context.Context) (*lateError, bool) {
	var late *lateError
	ok := errors.As(context.Cause(ctx), &late)
	return late, ok
}

// lateFault returns the fault for a request that waited too long. An error that already
// is a fault says more.
func lateFault(ctx context.Context, err error) error {
	late, ok := isLate(ctx)
	if !ok || err == nil {
		return err
	}
	if errors.As(err, new(*fault)) {
		return err
	}
	return &fault{status: http.StatusGatewayTimeout, code: codeUnavailable, message: late.Error(), cause: err}
}
