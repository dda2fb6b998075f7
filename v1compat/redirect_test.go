package v1compat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestRedirectTo(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, from, location, want string
	}{
		{name: "another host", from: "https://a/v1/x", location: "https://b/y?sig=1", want: "https://b/y?sig=1"},
		{name: "relative", from: "https://a/v1/x", location: "../y", want: "https://a/y"},
		{name: "without scheme", from: "https://a/v1/x", location: "//b/y", want: "https://b/y"},
		{name: "to https", from: "http://a/x", location: "https://a/x", want: "https://a/x"},
		{name: "the fragment is dropped", from: "https://a/x", location: "/y#f", want: "https://a/y"},
		{name: "https to http", from: "https://a/x", location: "http://a/x?sig=1"},
		{name: "to a file", from: "https://a/x", location: "file:///etc/passwd"},
		{name: "user information", from: "https://a/x", location: "https://u:p@b/y"},
		{name: "opaque", from: "https://a/x", location: "https:b"},
		{name: "no URL", from: "https://a/x", location: "https://b/%zz?sig=secret"},
		{name: "bad host", from: "https://a/x", location: "https://b:99999/"},
	}
	for _, row := range rows {
		from, err := url.Parse(row.from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := redirectTo(from, row.location)
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%s: %s", row.name, got)
		case row.want == "" && strings.Contains(err.Error(), "sig="):
			t.Errorf("%s: error quotes the query: %v", row.name, err)
		case row.want != "" && (err != nil || got.String() != row.want):
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
}

// secretHeaders are those headers of a request that belong to one origin.
func secretHeaders(h http.Header) string {
	var list []string
	for _, name := range []string{"Authorization", "Cookie", "X-Docker-Token", "Referer"} {
		if h.Get(name) != "" {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

// A redirect on each route, to another port of the same host, which net/http's
// client would send Authorization to.
func TestRedirectToAnotherOriginCarriesNothing(t *testing.T) {
	t.Parallel()
	storage := v1test.New(v1test.Options{Quirks: v1test.Quirks{Ranges: v1test.RangesRight}})
	t.Cleanup(storage.Close)
	layers := []v1test.Layer{{Data: []byte("0123456789")}}
	storage.Add("library/busybox", "latest", layers...)
	srv, c := registry(t, v1test.Quirks{Token: []string{"t"}, Cookie: true})
	srv.Add("library/busybox", "latest", layers...)
	srv.Fail(v1test.Failure{Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
		w.Header().Set("X-Docker-Token", "t")
		w.Header().Set("Location", storage.URL+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})})
	c.Credentials = as("alice", "s3cret")
	img, err := c.Image(t.Context(), "busybox", "latest")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := img.Entries[0].Open(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Start != 4 {
		t.Errorf("the range was lost: start %d", stream.Start)
	}
	for _, r := range storage.Requests() {
		if got := secretHeaders(r.Header); got != "" {
			t.Errorf("%s: redirected with %s", r.URI, got)
		}
	}
	if got := storage.Requests()[len(storage.Requests())-1].Header.Get("Range"); got != "bytes=4-" {
		t.Errorf("Range %q", got)
	}
}

func TestRedirectTargetsGiveNoToken(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"right"}})
	layer := v1test.Layer{Data: []byte("x")}
	built := srv.Add("library/busybox", "latest", layer)
	other := v1test.New(v1test.Options{Quirks: v1test.Quirks{CommonHeader: map[string]string{"X-Docker-Token": "wrong", "Set-Cookie": "a=b"}}})
	t.Cleanup(other.Close)
	other.Add("library/busybox", "latest", layer)
	ancestry := other.URL + "/v1/images/" + built[0].ID + "/ancestry"
	srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 302, Header: http.Header{"Location": {ancestry}}})
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Fatal(err)
	}
	if got := authorizations(srv)["json"]; got != "Token right" || len(other.Requests()) != 1 {
		t.Errorf("Authorization %q after %d redirects", got, len(other.Requests()))
	}
}

func TestRedirectWithinTheOriginKeepsSecrets(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"t"}, Cookie: true, RequireToken: "Token t"})
	built := srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	id := built[0].ID
	srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 302, Header: http.Header{"Location": {"/v1/images/" + id + "/ancestry?again"}}})
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Error(err)
	}
}

func TestRedirectGoesOnElsewhereWithNothing(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"t"}, Cookie: true})
	layer := v1test.Layer{Data: []byte("x")}
	built := srv.Add("library/busybox", "latest", layer)
	other := v1test.New(v1test.Options{})
	t.Cleanup(other.Close)
	other.Add("library/busybox", "latest", layer)
	ancestry := "/v1/images/" + built[0].ID + "/ancestry"
	other.Fail(v1test.Failure{Status: 302, Header: http.Header{"Location": {ancestry + "?again"}}})
	srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 302, Header: http.Header{"Location": {other.URL + ancestry}}})
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Fatal(err)
	}
	if got := len(other.Requests()); got != 2 {
		t.Errorf("%d requests", got)
	}
	for _, r := range other.Requests() {
		if got := secretHeaders(r.Header); got != "" {
			t.Errorf("%s: redirected with %s", r.URI, got)
		}
	}
}

// A transport may wrap a client, whose errors quote the URL.
func TestTransportErrorsDoNotQuoteTheQuery(t *testing.T) {
	t.Parallel()
	cause := errors.New("no route")
	err := explain(&url.Error{Op: "Get", URL: "https://cdn/x?sig=s3cret", Err: cause}, &url.URL{Host: "cdn"})
	if !errors.Is(err, cause) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestTransient(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		err  error
		want bool
	}{
		{"end of the connection", io.EOF, true},
		{"cut in the answer", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"timeout of the transport", os.ErrDeadlineExceeded, true},
		{"nobody listens", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, false},
		{"reset while connecting", &net.OpError{Op: "dial", Err: syscall.ECONNRESET}, false},
		{"unknown authority", &tls.CertificateVerificationError{Err: errors.New("x")}, false},
		{"refused certificate", &net.OpError{Op: "remote error", Err: tls.AlertError(42)}, false},
	} {
		if got := transient(t.Context(), row.err); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if transient(ctx, io.EOF) {
		t.Error("the caller gave up, the request is made again")
	}
}

func TestRedirectAwayAndBackCarriesNothing(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"t"}, Cookie: true})
	built := srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	other := v1test.New(v1test.Options{})
	t.Cleanup(other.Close)
	other.Fail(v1test.Failure{Status: 302, Header: http.Header{"Location": {srv.URL + "/v1/images/" + built[0].ID + "/ancestry?back"}}})
	srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 302, Header: http.Header{"Location": {other.URL + "/"}}})
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil {
		t.Error("the registry wants its cookie, and got it")
	}
	for _, r := range srv.Requests() {
		if got := secretHeaders(r.Header); got != "" && strings.HasSuffix(r.URI, "?back") {
			t.Errorf("led back with %s", got)
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, want string
		next       func(n int) string
	}{
		{name: "a loop", want: "redirect loop", next: func(n int) string { return fmt.Sprintf("/%d?sig=s3cret", n%2) }},
		{name: "a long way", want: "more than 10 redirects", next: func(n int) string { return fmt.Sprintf("/%d", n) }},
	}
	for _, row := range rows {
		srv, c := registry(t, v1test.Quirks{})
		srv.Add("library/busybox", "latest", v1test.Layer{})
		n := 0
		srv.Fail(v1test.Failure{Path: path(`/images$|^/\d`), Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n++
			w.Header().Set("Location", row.next(n))
			w.WriteHeader(http.StatusFound)
		})})
		_, err := c.Image(t.Context(), "busybox", "latest")
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", row.name, err)
		}
		if n > 11 {
			t.Errorf("%s: %d requests", row.name, n)
		}
	}
}

func TestRedirectFromHTTPSToHTTP(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("registry")
	plain := v1test.New(v1test.Options{})
	t.Cleanup(plain.Close)
	srv := v1test.New(v1test.Options{
		Quirks: v1test.Quirks{Redirect: plain.URL},
		TLS:    &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}},
	})
	t.Cleanup(srv.Close)
	srv.Add("library/busybox", "latest", v1test.Layer{})
	c := clientOf(t, srv)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	c.Scheme, c.HTTP.Transport = "https", transport
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil || !strings.Contains(err.Error(), "redirect from https to http://"+plain.Host) {
		t.Errorf("error %v", err)
	}
	if got := plain.URIs(); len(got) != 0 {
		t.Errorf("requests in the clear: %q", got)
	}
}

func TestRedirectTargetIsNamed(t *testing.T) {
	t.Parallel()
	storage := v1test.New(v1test.Options{})
	t.Cleanup(storage.Close)
	srv, c := registry(t, v1test.Quirks{Redirect: storage.URL + "/bucket?signature=s3cret&"})
	srv.Add("library/busybox", "latest", v1test.Layer{})
	for _, status := range []int{401, 403, 404} {
		storage.Fail(v1test.Failure{Status: status})
		_, err := c.Image(t.Context(), "busybox", "latest")
		if err == nil || !strings.Contains(err.Error(), "redirected to "+storage.Host) {
			t.Errorf("%d: error does not name the host: %v", status, err)
		}
		if errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) || errdefs.IsNotFound(err) {
			t.Errorf("%d: taken for the registry's answer: %v", status, err)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error quotes the query: %v", err)
		}
	}
	storage.Close()
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil || !strings.Contains(err.Error(), "redirected to "+storage.Host) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("down: %v", err)
	}
}

func TestRedirectMayBeRefused(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Redirect: "http://169.254.169.254/latest"})
	srv.Add("library/busybox", "latest", v1test.Layer{})
	c.AllowHost = func(host string) error { return fmt.Errorf("%s is internal", host) }
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil || !strings.Contains(err.Error(), "169.254.169.254:80 is internal") {
		t.Errorf("error %v", err)
	}
}

// A layer is not asked for again where the client refuses to follow.
func TestRefusedRedirectsAreFinal(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("registry")
	config := &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}}
	other := v1test.New(v1test.Options{TLS: &tls.Config{Certificates: []tls.Certificate{certtest.NewCA("other").Server("127.0.0.1").TLS}}})
	t.Cleanup(other.Close)
	plain := v1test.New(v1test.Options{})
	t.Cleanup(plain.Close)
	for name, row := range map[string]struct {
		location, want string
	}{
		"to plain HTTP":              {plain.URL, "it would be unencrypted"},
		"to plain HTTP called https": {"https://" + plain.Host, "speaks plain HTTP"},
		"a loop":                     {"", "redirect loop"},
		"user information":           {"https://jo:pw@" + other.Host, "user information"},
		"an unknown authority":       {other.URL, "unknown authority"},
		"a host that is not allowed": {"https://forbidden.test", "forbidden.test:443 is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := v1test.New(v1test.Options{TLS: config})
			t.Cleanup(srv.Close)
			srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
			asked := 0
			srv.Fail(v1test.Failure{Path: path(`/layer$`), Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				w.Header().Set("Location", row.location+r.URL.Path)
				w.WriteHeader(http.StatusFound)
			})})
			c := clientOf(t, srv)
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
			t.Cleanup(transport.CloseIdleConnections)
			c.Scheme, c.HTTP.Transport = "https", transport
			c.AllowHost = func(host string) error {
				if strings.HasPrefix(host, "forbidden") {
					return errors.New("by the test")
				}
				return nil
			}
			img, err := c.Image(t.Context(), "busybox", "latest")
			if err != nil {
				t.Fatal(err)
			}
			_, err = (&Converter{Store: localStore(t)}).Convert(t.Context(), img)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v", err)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

func TestFinal(t *testing.T) {
	t.Parallel()
	refused, cut := &Error{Err: errors.New("refused"), final: true}, &Error{Err: io.EOF}
	for name, row := range map[string]struct {
		err  error
		want bool
	}{
		"a refusal":                  {fmt.Errorf("layer: %w", refused), true},
		"a cut":                      {cut, false},
		"refusals of all endpoints":  {endpointsError{refused, errdefs.ErrNotFound}, true},
		"one of them may be back":    {endpointsError{refused, cut}, false},
		"a host that is not reached": {&Error{Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, false},
	} {
		if got := final(row.err); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// spy is a transport that notes which requests follow a redirect, and their
// repository.
type spy struct {
	http.RoundTripper
	mu   sync.Mutex
	seen []string
}

type repositoryKey struct{}

func (s *spy) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprint(req.URL.Path, " ", req.Context().Value(repositoryKey{}))
	if req.Response != nil {
		line += " after " + req.Response.Status
	}
	s.seen = append(s.seen, line)
	return s.RoundTripper.RoundTrip(req)
}

func TestTransportIsToldOfRedirectsAndRepository(t *testing.T) {
	t.Parallel()
	storage := v1test.NewStorage(nil)
	t.Cleanup(storage.Close)
	srv, c := registry(t, v1test.Quirks{Redirect: storage.URL, RedirectLayers: true})
	built := srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	storage.Take(built...)
	s := &spy{RoundTripper: c.HTTP.Transport}
	c.HTTP.Transport = s
	c.Context = withRepository
	img, err := c.Image(t.Context(), "busybox", "latest")
	if err != nil {
		t.Fatal(err)
	}
	layerBytes(t, img.Entries[0])
	id := built[0].ID
	want := []string{
		"/v1/_ping busybox",
		"/v1/repositories/busybox/images busybox",
		"/v1/repositories/library/busybox/tags/latest busybox",
		"/v1/images/" + id + "/ancestry busybox",
		"/v1/images/" + id + "/json busybox",
		"/v1/images/" + id + "/layer busybox",
		"/" + id + "/layer busybox after 302 Found",
	}
	if diff := cmp.Diff(want, s.seen); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}

	s.seen = nil
	if _, err := c.Tags(t.Context(), "busybox"); err != nil {
		t.Fatal(err)
	}
	for _, line := range s.seen {
		if !strings.HasSuffix(line, " busybox") {
			t.Errorf("request without its repository: %s", line)
		}
	}
}
