package v1compat

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/containerd/errdefs"
)

// Error is what went wrong with a registry of the v1 protocol. It wraps the
// errdefs class of the registry's answer: ErrUnauthenticated for 401,
// ErrPermissionDenied for 403, ErrNotFound for 404, ErrUnavailable for 5xx. A
// redirect target's answer is not the registry's and has no class.
type Error struct {
	// Endpoint is the base URL that was asked, such as https://reg.example/v1/.
	Endpoint string
	// Path is what was asked for, below Endpoint; empty if nothing was.
	Path string
	// Target is the host[:port] a redirect led to, if that is where it failed.
	Target string
	// Status is the HTTP status of the answer, zero without one.
	Status int
	// Message is the server's own explanation, shortened.
	Message string
	// Err is the cause, or the class of the answer.
	Err error

	// retry reports that the same request may succeed a moment later, final that
	// it never will: the client refuses what the server wants of it.
	retry, final bool
	// refresh reports that the credentials are a refresh token without a user.
	refresh bool
}

// Error names endpoint, path, host and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("Registry v1 at " + e.Endpoint + ": ")
	if e.Path != "" {
		b.WriteString("GET " + e.Path + ": ")
	}
	if e.Target != "" {
		b.WriteString("redirected to " + e.Target + ": ")
	}
	switch {
	case e.Status == 0:
		b.WriteString(e.Err.Error())
	case e.Message == "":
		b.WriteString(e.status())
	default:
		b.WriteString(e.status() + ": " + e.Message)
	}
	b.WriteString(e.hint())
	return b.String()
}

// Unwrap gives the cause or class.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) status() string {
	s := "status " + itoa(e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	return s
}

// hint returns the next step to take.
func (e *Error) hint() string {
	switch {
	case e.Target != "" && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized):
		return " (this is the answer of the host redirected to, not the registry's)"
	case e.Target != "":
		return ""
	case e.Status == http.StatusNotFound:
		return " (registries of this protocol also answer 404 for what the certificate or user may not see)"
	case e.Status == http.StatusUnauthorized && e.refresh:
		return " (there is only a refresh token, which this protocol does not know: it takes user and password)"
	case e.Status == http.StatusUnauthorized:
		return " (credentials are missing or wrong)"
	case e.Status == http.StatusForbidden:
		return " (neither the certificate nor the user has access)"
	}
	return ""
}

// class returns the errdefs error for a status of the registry's own.
func class(status int) error {
	switch {
	case status == http.StatusUnauthorized:
		return errdefs.ErrUnauthenticated
	case status == http.StatusForbidden:
		return errdefs.ErrPermissionDenied
	case status == http.StatusNotFound:
		return errdefs.ErrNotFound
	case status == http.StatusTooManyRequests:
		return errdefs.ErrResourceExhausted
	case status >= 500:
		return errdefs.ErrUnavailable
	}
	return errdefs.ErrUnknown
}

// statusError makes the error of an answer with an unwanted status and closes
// its body. The caller fills in endpoint and path. An explanation that repeats
// a secret is kept back.
func statusError(resp *http.Response, target string, secrets ...string) *Error {
	defer discard(resp)
	said := explanation(resp)
	if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(said, s) }) {
		said = "(an explanation that repeats a secret)"
	}
	e := &Error{Target: target, Status: resp.StatusCode, Message: printable(said), retry: mayPass(resp.StatusCode)}
	if e.Err = class(resp.StatusCode); target != "" {
		e.Err = errdefs.ErrUnknown
	}
	return e
}

// mayPass reports whether an answer is worth asking again.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// explanation returns the message in an error answer: python and Quay send
// {"error": "..."}, Crane a line of text, a CGI puts it into the status line.
// Pages for people (HTML) explain nothing.
func explanation(resp *http.Response) string {
	const most = 8 << 10 // as much as containerd reads of an error body
	body, _ := io.ReadAll(io.LimitReader(resp.Body, most))
	var msg struct {
		Error string `json:"error"`
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case json.Unmarshal(body, &msg) == nil && msg.Error != "":
		return msg.Error
	case kind == "text/plain" && len(body) > 0:
		return string(body)
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	if reason == http.StatusText(resp.StatusCode) {
		return ""
	}
	return reason
}

// printable makes one short line of what a server sent.
func printable(s string) string { return safetext.Line(s, 200) }

// NextForUnusable is what to do about an image that cannot be used for what its
// registry has of it. The errors about such images end with it.
const NextForUnusable = "push the image again, or ask the registry's owner what is stored there"

const nextForUnusable = "the registry's image of this name cannot be used: push it again"

// UnusableError reports that what a registry has of an image is none that could
// be converted, whoever asks for it. It is an errdefs.ErrInvalidArgument.
type UnusableError struct {
	// Err says what is wrong.
	Err error
}

// Error says what is wrong, and what to do.
func (e *UnusableError) Error() string { return e.Err.Error() + ": " + NextForUnusable }

// Next returns what to do, for who names the image.
func (*UnusableError) Next() string { return nextForUnusable }

// Told returns what to do, as the text ends.
func (*UnusableError) Told() string { return NextForUnusable }

// Unwrap returns the cause, and the class.
func (e *UnusableError) Unwrap() []error { return []error{e.Err, errdefs.ErrInvalidArgument} }

// damagedError is the last word about a layer that is not what it should be. It
// has no class: the next time it may be another.
type damagedError struct{ err error }

// advised adds to the error of a layer what to do, where that is known.
func advised(err error) error {
	if errors.As(err, new(*corruptError)) {
		return &damagedError{err}
	}
	return err
}

func (e *damagedError) Error() string { return e.err.Error() + ": " + NextForUnusable }
func (e *damagedError) Unwrap() error { return e.err }
func (*damagedError) Next() string    { return nextForUnusable }
func (*damagedError) Told() string    { return NextForUnusable }

// endpointsError is what all endpoints failed with. Callers may test for the
// class of the most telling answer: a refusal, else anything but "not found",
// which holds only if every endpoint says so.
type endpointsError []error

// Error lists the endpoints' errors in the order in which they were asked.
func (e endpointsError) Error() string { return errors.Join(e...).Error() }

// Unwrap gives the most telling error.
func (e endpointsError) Unwrap() error {
	for _, err := range e {
		if errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err) {
			return err
		}
	}
	for _, err := range e {
		if !errdefs.IsNotFound(err) {
			return err
		}
	}
	return e[0]
}

// pageError reports that a page or message came in place of a layer.
type pageError struct{}

// Error implements error.
func (e pageError) Error() string {
	return "not a layer but a page or message: a proxy or login page answered with status 200: " + e.Told()
}

// Next returns what to do.
func (e pageError) Next() string { return e.Told() }

// Told returns what to do, as the text ends.
func (pageError) Told() string {
	return "have the proxy or login in front of the registry let layers through, or ask the registry's owner"
}
