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

// Error is a failed request to a registry of the v1 protocol. It wraps the errdefs
// class of the registry's answer: ErrUnauthenticated for 401, ErrPermissionDenied for
// 403, ErrNotFound for 404, ErrUnavailable for 5xx. The answer of a redirect target
// is not the registry's and has no class.
type Error struct {
	// Endpoint is the base URL of the request, such as https://reg.example/v1/.
	Endpoint string
	// Path is the requested path below Endpoint; empty if there was no request.
	Path string
	// Target is the host[:port] of the redirect target that failed, if any.
	Target string
	// Status is the HTTP status of the answer, zero if there was none.
	Status int
	// Message is the server's own explanation, shortened.
	Message string
	// Err is the cause, or the class of the answer.
	Err error

	// retry reports whether the same request may succeed a moment later; final, that
	// it never will, as the client refuses what the server demands.
	retry, final bool
	// refresh reports whether the credentials are a refresh token without a user.
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

// Unwrap returns the cause or class.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) status() string {
	s := "status " + itoa(e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	return s
}

// hint explains the status to the user.
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

// class returns the errdefs error for a status that the registry itself sent.
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

// statusError returns the error for an answer with an unwanted status and closes its
// body. The caller fills in endpoint and path. An explanation that repeats a secret
// is withheld.
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

// mayPass reports whether a request answered with this status is worth repeating.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// explanation returns the message of an error answer: the Python registry and Quay
// send {"error": "..."}, Crane a line of text, a CGI puts it into the status line.
// HTML pages are ignored.
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

// printable reduces a server's text to one short line.
func printable(s string) string { return safetext.Line(s, 200) }

// NextForUnusable tells users what to do about an image whose content in the registry
// is unusable. The errors about such images end with it.
const NextForUnusable = "push the image again, or ask the registry's owner what is stored there"

const nextForUnusable = "the registry's image of this name cannot be used: push it again"

// UnusableError reports that the registry's content of an image cannot be converted
// by any client. It is an errdefs.ErrInvalidArgument.
type UnusableError struct {
	// Err says what is wrong.
	Err error
}

// Error returns the cause and what to do.
func (e *UnusableError) Error() string { return e.Err.Error() + ": " + NextForUnusable }

// Next returns what to do, for callers that name the image themselves.
func (*UnusableError) Next() string { return nextForUnusable }

// Told returns what to do, as the text ends.
func (*UnusableError) Told() string { return NextForUnusable }

// Unwrap returns the cause and the class.
func (e *UnusableError) Unwrap() []error { return []error{e.Err, errdefs.ErrInvalidArgument} }

// damagedError is the final error about a damaged layer. It has no class: the next
// attempt may succeed.
type damagedError struct{ err error }

// advised adds what to do to the error of a layer, where that is known.
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

// endpointsError holds the errors of all endpoints. Callers may test for the class of
// the most telling one: a refusal, else anything but "not found", which holds only if
// every endpoint says so.
type endpointsError []error

// Error lists the endpoints' errors in the order of the attempts.
func (e endpointsError) Error() string { return errors.Join(e...).Error() }

// Unwrap returns the most telling error.
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

// pageError reports that a page or message was sent in place of a layer.
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
