package v1compat

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	rows := []struct {
		err  Error
		want string
	}{
		{
			Error{Endpoint: "https://reg/v1/", Path: "images/x/json", Err: errors.New("cut")},
			"Registry v1 at https://reg/v1/: GET images/x/json: cut",
		},
		{
			Error{Endpoint: "https://reg/v1/", Path: "images/x/json", Status: 404, Message: "Image not found"},
			"Registry v1 at https://reg/v1/: GET images/x/json: status 404 Not Found: Image not found " +
				"(registries of this protocol also answer 404 for what the certificate or user may not see)",
		},
		{
			Error{Endpoint: "https://reg/v1/", Path: "images/x/layer", Target: "cdn", Status: 403},
			"Registry v1 at https://reg/v1/: GET images/x/layer: redirected to cdn: status 403 Forbidden " +
				"(this is the answer of the host redirected to, not the registry's)",
		},
		{Error{Endpoint: "https://reg/v1/", Status: 599}, "Registry v1 at https://reg/v1/: status 599"},
	}
	for _, row := range rows {
		if got := row.err.Error(); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

func TestExplanation(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, kind, body, want string
	}{
		{name: "python", kind: "application/json", body: `{"error": "Repository not found"}`, want: "Repository not found"},
		{name: "JSON by another name", kind: "text/html", body: `{"error": "no"}`, want: "no"},
		{name: "Crane", kind: "text/plain; charset=utf-8", body: "Not\nFound\n", want: "Not Found"},
		{name: "a web page", kind: "text/html", body: "<html><body>no</body></html>"},
		{name: "escape sequences", kind: "text/plain", body: "a\x1b[31mb\x00\u202e", want: "a [31mb"},
		{name: "long", kind: "text/plain", body: strings.Repeat("é", 300), want: strings.Repeat("é", 200) + "…"},
		{name: "endless", kind: "text/plain", body: strings.Repeat("x ", 100_000), want: strings.Repeat("x ", 99) + "x…"},
	}
	for _, row := range rows {
		srv, c := registry(t, v1test.Quirks{})
		srv.Fail(v1test.Failure{Path: path("images$"), Status: 403, Body: row.body, Header: http.Header{"Content-Type": {row.kind}}})
		_, err := c.Image(t.Context(), "a/b", "latest")
		var e *Error
		if !errors.As(err, &e) || e.Message != row.want {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// A CGI explains itself in the status line.
func TestReasonPhrase(t *testing.T) {
	t.Parallel()
	resp := &http.Response{Status: "403 Client certificate invalid", StatusCode: 403, Body: http.NoBody}
	if got := statusError(resp, "").Message; got != "Client certificate invalid" {
		t.Errorf("message %q", got)
	}
}

func TestClass(t *testing.T) {
	t.Parallel()
	for status, is := range map[int]func(error) bool{
		401: errdefs.IsUnauthorized, 403: errdefs.IsPermissionDenied, 404: errdefs.IsNotFound,
		429: errdefs.IsResourceExhausted, 500: errdefs.IsUnavailable, 503: errdefs.IsUnavailable,
		400: errdefs.IsUnknown, 302: errdefs.IsUnknown,
	} {
		if err := error(&Error{Status: status, Err: class(status)}); !is(err) {
			t.Errorf("%d: %v", status, errors.Unwrap(err))
		}
	}
}
