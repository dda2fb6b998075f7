package resolver

import (
	"errors"
	"fmt"

	"github.com/certsd/containerd-certsd/certsd"
)

// Error tells what became of a reference, with everything that was tried for
// it: each endpoint in order, its directory, the certificates with subject and
// expiry, and the server's answers.
type Error struct {
	// Ref is the reference.
	Ref string
	// Err is the error of containerd's resolver; errdefs' classes are its.
	Err error
	// Trail is what was tried.
	Trail *certsd.Trail
}

// Error implements error.
func (e *Error) Error() string {
	account := e.Trail.String()
	if account == "" {
		return fmt.Sprintf("%s: %v", e.Ref, e.Err)
	}
	return fmt.Sprintf("%s: %v\n%s", e.Ref, e.Err, account)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain adds the trail to an error, once.
func explain(err error, ref string, trail *certsd.Trail) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Ref: ref, Err: err, Trail: trail}
}
