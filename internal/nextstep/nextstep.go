// Package nextstep has errors that carry the next step, so that no caller has to
// extract it from their text.
package nextstep

import (
	"errors"
	"strings"
)

// Step is what an error knows that says what to do about it.
type Step interface {
	error
	// Next returns what to do, empty where that depends on who tells.
	Next() string
	// Told returns how the text of the error goes on, behind a colon, to say so.
	Told() string
}

// With is err with what to do about it, which ends its text.
func With(err error, next string) error { return Told(err, next, next) }

// Told is err with what to do about it, in other words in its text.
func Told(err error, told, next string) error { return &stepError{err, told, next} }

type stepError struct {
	err        error
	told, next string
}

func (e *stepError) Error() string { return e.err.Error() + ": " + e.told }
func (e *stepError) Unwrap() error { return e.err }
func (e *stepError) Next() string  { return e.next }
func (e *stepError) Told() string  { return e.told }

// Of returns what to do about an error, empty if it does not know, or if it joins
// several that do.
func Of(err error) string {
	if step := only(err); step != nil {
		return step.Next()
	}
	return ""
}

// Cause returns the text of an error without what to do about it. That of several stays
// where they are.
func Cause(err error) string {
	step := only(err)
	if step == nil {
		return err.Error()
	}
	before, after, _ := strings.Cut(err.Error(), ": "+step.Told())
	return before + after
}

// only returns the one step in an error, nil if there is none, or more than one.
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
