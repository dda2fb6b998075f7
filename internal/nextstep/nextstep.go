// Package nextstep provides errors that carry the next step, which saves callers from
// extracting it from their text.
package nextstep

import (
	"errors"
	"strings"
)

// Step is implemented by an error that says what to do about it.
type Step interface {
	error
	// Next returns what to do, empty if that depends on the caller.
	Next() string
	// Told returns the end of the error's text, after a colon, that says what to do.
	Told() string
}

// With returns err with the next step, which is appended to its text.
func With(err error, next string) error { return Told(err, next, next) }

// Told returns err with the next step; its text ends with told instead.
func Told(err error, told, next string) error { return &stepError{err, told, next} }

type stepError struct {
	err        error
	told, next string
}

func (e *stepError) Error() string { return e.err.Error() + ": " + e.told }
func (e *stepError) Unwrap() error { return e.err }
func (e *stepError) Next() string  { return e.next }
func (e *stepError) Told() string  { return e.told }

// Of returns the next step in an error, empty if there is none or more than one.
func Of(err error) string {
	if step := only(err); step != nil {
		return step.Next()
	}
	return ""
}

// Cause returns the text of an error without its next step. If there are several, they
// stay.
func Cause(err error) string {
	step := only(err)
	if step == nil {
		return err.Error()
	}
	before, after, _ := strings.Cut(err.Error(), ": "+step.Told())
	return before + after
}

// only returns the single step in an error, nil if there is none or more than one.
func only(err error) Step {
	var step Step
	if errors.As(err, &step) && count(err) == 1 {
		return step
	}
	return nil
}

func count(err error) int {
	if _, ok := err.(Step); ok {
		return 1
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		return count(wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		n := 0
		for _, err := range wrapped.Unwrap() {
			n += count(err)
		}
		return n
	}
	return 0
}
