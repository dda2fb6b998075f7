package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/trail"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Error is an error about a reference, with everything that was tried: each endpoint
// in order, its directory, the certificates with subject and expiry, and the server's
// answers.
type Error struct {
	// Ref is the reference.
	Ref string
	// Err is the error of containerd's resolver, which has the errdefs classes. Its
	// own text may contain the query of a signed URL, which Error's leaves out.
	Err error
	// Trail is what was tried.
	Trail *certsd.Trail
}

const (
	// maxShown is how many of the latest attempts an error shows: two endpoints that
	// refuse eight certificates each take 16 lines.
	maxShown = 48
	// maxCause bounds the text of the cause in bytes, some of which a server may have
	// sent.
	maxCause = 8 << 10
)

// Error implements error.
func (e *Error) Error() string {
	if e.Trail == nil {
		return e.text()
	}
	return e.Trail.Safe(e.text())
}

func (e *Error) text() string {
	text := presentable(e.Err)
	var attempts []certsd.Attempt
	if e.Trail != nil {
		attempts = e.Trail.Attempts()
	}
	text = faultFirst(text, attempts)
	if !strings.HasPrefix(text, e.Ref) {
		text = e.Ref + ": " + text
	}
	given := errors.Is(e.Err, context.Canceled)
	failed := attempts[:0]
	for _, a := range attempts {
		if !given && errors.Is(a.Err, context.Canceled) {
			continue // cancelled because another one failed
		}
		if plain := (*certsd.PlainHTTPError)(nil); errors.As(a.Err, &plain) && strings.Contains(text, plain.Error()) {
			continue // said already
		}
		if a.Skipped != "" || a.Err != nil || a.Status >= http.StatusBadRequest {
			failed = append(failed, a)
		}
	}
	if len(failed) == 0 {
		return text
	}
	left := max(0, len(failed)-maxShown)
	account := trail.Format(failed[left:])
	if left += e.Trail.Dropped(); left > 0 {
		account = fmt.Sprintf("(%d earlier attempts are left out)\n", left) + account
	}
	if hint := loginHint(e.Err, e.Ref, failed); hint != "" && !strings.Contains(account, "\n  -> ") {
		account += "  -> " + hint
	}
	return text + "\n" + strings.TrimSuffix(account, "\n")
}

// faultFirst puts faults that can be fixed on this machine before the server's
// message.
func faultFirst(text string, attempts []certsd.Attempt) string {
	faults := trail.Faults(attempts)
	if len(faults) == 0 || strings.Contains(text, faults[0].Told()) {
		return text
	}
	first := faults[0].Told()
	if more := len(faults) - 1; more > 0 {
		first += fmt.Sprintf(" (and %d more, below)", more)
	}
	return first + ": " + text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain adds the trail to an error, once.
func explain(err error, ref string, tried *certsd.Trail) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(*Error)) {
		return err
	}
	return &Error{Ref: ref, Err: err, Trail: tried}
}

// presentable returns the text of an error, bounded and without what must not be
// logged: users, and the queries of URLs, which are secret in signed URLs.
func presentable(err error) string {
	text := err.Error()
	var page *NotManifestError
	if errors.As(err, &page) && alone(err) {
		// Its text names the request.
		text = page.Error()
	}
	for _, u := range urlsIn(err) {
		text = strings.ReplaceAll(text, u, withoutSecrets(u))
	}
	return safetext.Clip(text, maxCause)
}

// alone reports whether an error wraps a NotManifestError without joined errors.
func alone(err error) bool {
	for err != nil {
		if _, found := err.(*NotManifestError); found { //nolint:errorlint // this very one
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}

// urlsIn returns the URLs that an error and its causes quote.
func urlsIn(err error) []string {
	var urls []string
	switch e := err.(type) { //nolint:errorlint // each cause is looked at
	case *url.Error:
		urls = append(urls, e.URL)
	case remoteserrors.ErrUnexpectedStatus:
		urls = append(urls, e.RequestURL)
	}
	switch e := err.(type) { //nolint:errorlint // the ways to have causes
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			urls = append(urls, urlsIn(cause)...)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			urls = append(urls, urlsIn(cause)...)
		}
	}
	return urls
}

func withoutSecrets(raw string) string { return safetext.RawURL(raw, "…") }
