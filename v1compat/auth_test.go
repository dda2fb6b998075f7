package v1compat

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func as(user, secret string) func(context.Context, string) (string, string, error) {
	return func(context.Context, string) (string, string, error) { return user, secret, nil }
}

func TestParseToken(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		lines []string
		want  string
		fails bool
	}{
		{name: "none"},
		{name: "the Hub's", lines: []string{`signature=a,repository="n/s",access=read`}, want: `signature=a,repository="n/s",access=read`},
		{name: "python sends the word, too", lines: []string{"Token signature=a"}, want: "signature=a"},
		{name: "in any case", lines: []string{"tOKEN  signature=a "}, want: "signature=a"},
		{name: "only one word is taken off", lines: []string{"Token " + "Token a"}, want: "Token a"},
		{name: "nothing but the word", lines: []string{"Token ", "token"}},
		{name: "two lines", lines: []string{"Token a", "b"}, want: "a,b"},
		{name: "an empty line", lines: []string{"", "b"}, want: "b"},
		{name: "a word that only begins so", lines: []string{"tokenized"}, want: "tokenized"},
		{name: "a control character", lines: []string{"a\x01"}, fails: true},
		{name: "a letter beyond ASCII", lines: []string{"ä"}, fails: true},
		{name: "too long", lines: []string{strings.Repeat("a", maxToken)}, fails: true},
		{name: "too long together", lines: []string{strings.Repeat("a", maxToken/2), strings.Repeat("b", maxToken/2)}, fails: true},
	}
	for _, row := range rows {
		got, err := parseToken(row.lines)
		if got != row.want || (err != nil) != row.fails {
			t.Errorf("%s: %q, %v", row.name, got, err)
		}
	}
}

// authorizations are the Authorization headers by path, ids left out.
func authorizations(srv *v1test.Server) map[string]string {
	got := map[string]string{}
	for _, r := range srv.Requests() {
		path := strings.Split(r.URI, "/")
		got[path[len(path)-1]] = r.Header.Get("Authorization")
	}
	return got
}

const basicAliceSecret = "Basic YWxpY2U6czNjcmV0" // alice:s3cret

func TestAuthorization(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("registry")
	server := &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}}
	rows := []struct {
		name   string
		plain  bool
		user   string
		quirks v1test.Quirks
		// index and rest are the Authorization of the index call and the others.
		index, rest string
	}{
		{name: "anonymous"},
		{name: "anonymous with a token", quirks: v1test.Quirks{Token: []string{"Token t1", "t2"}}, rest: "Token t1,t2"},
		{name: "standalone registry, user", user: "alice", index: basicAliceSecret, rest: basicAliceSecret},
		{name: "standalone registry, user, token", user: "alice", quirks: v1test.Quirks{Token: []string{"t"}}, index: basicAliceSecret, rest: basicAliceSecret},
		{name: "mirror, user, token", user: "alice", quirks: v1test.Quirks{Standalone: "mirror", Token: []string{"t"}}, index: basicAliceSecret, rest: "Token t"},
		{name: "no standalone, user, no token: a proxy may want Basic", user: "alice", quirks: v1test.Quirks{Standalone: "False"}, index: basicAliceSecret, rest: basicAliceSecret},
		{name: "plain http, user, token", plain: true, user: "alice", quirks: v1test.Quirks{Token: []string{"t"}}, index: basicAliceSecret, rest: "Token t"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := v1test.Options{Quirks: row.quirks, TLS: server.Clone()}
			if row.plain {
				o.TLS = nil
			}
			srv := v1test.New(o)
			t.Cleanup(srv.Close)
			srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
			c := clientOf(t, srv)
			if !row.plain {
				c.Scheme = "https"
				transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
				t.Cleanup(transport.CloseIdleConnections)
				c.HTTP.Transport = transport
			}
			c.Credentials = as(row.user, "s3cret")
			img, err := c.Image(t.Context(), "busybox", "latest")
			if err != nil {
				t.Fatal(err)
			}
			layerBytes(t, img.Entries[0])
			want := map[string]string{
				"_ping": "", "images": row.index,
				"latest": row.rest, "ancestry": row.rest, "json": row.rest, "layer": row.rest,
			}
			if diff := cmp.Diff(want, authorizations(srv)); diff != "" {
				t.Errorf("Authorization (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokenIsReplacedByALaterOne(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"first"}, CommonHeader: map[string]string{"X-Docker-Token": "second"}})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Fatal(err)
	}
	if got := authorizations(srv)["json"]; got != "Token second" {
		t.Errorf("Authorization %q", got)
	}
}

// An endpoint on the registry's own name but another port is another origin.
func TestOtherEndpointGetsTheTokenOnly(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("registry")
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}}
	rows := []struct {
		name  string
		tls   *tls.Config
		token []string
		want  string
	}{
		{name: "plain http"},
		{name: "plain http, token", token: []string{"t"}, want: "Token t"},
		{name: "standalone over https", tls: secure},
		{name: "standalone over https, token", tls: secure, token: []string{"t"}, want: "Token t"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			other := v1test.New(v1test.Options{TLS: row.tls.Clone(), Quirks: v1test.Quirks{
				CommonHeader: map[string]string{"Set-Cookie": "theirs=1; Path=/"},
			}})
			t.Cleanup(other.Close)
			other.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
			srv := v1test.New(v1test.Options{TLS: row.tls.Clone(), Quirks: v1test.Quirks{
				Endpoints: []string{other.Host}, Token: row.token, Cookie: true,
			}})
			t.Cleanup(srv.Close)
			srv.Add("library/busybox", "other")
			c := clientOf(t, srv)
			if row.tls != nil {
				transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
				t.Cleanup(transport.CloseIdleConnections)
				c.Scheme, c.HTTP.Transport = "https", transport
			}
			c.Credentials = as("alice", "s3cret")
			img, err := c.Image(t.Context(), "busybox", "latest")
			if err != nil {
				t.Fatal(err)
			}
			layerBytes(t, img.Entries[0])
			for _, r := range other.Requests() {
				if got := r.Header.Get("Authorization"); got != row.want {
					t.Errorf("%s: Authorization %q at the other endpoint", r.URI, got)
				}
				if got := r.Header.Get("Cookie") + r.Header.Get("X-Docker-Token"); got != "" {
					t.Errorf("%s: %q at the other endpoint", r.URI, got)
				}
			}
		})
	}
}

func TestOnlyTheIndexCallAsksForAToken(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	srv.Add("library/busybox", "latest", v1test.Layer{})
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Fatal(err)
	}
	for _, r := range srv.Requests() {
		if got, index := r.Header.Get("X-Docker-Token") == "true", strings.HasSuffix(r.URI, "/images"); got != index {
			t.Errorf("%s: X-Docker-Token %q", r.URI, r.Header.Get("X-Docker-Token"))
		}
	}
}

// net/http's jar would give a cookie of one port to another.
func TestJarKeepsToItsOrigin(t *testing.T) {
	t.Parallel()
	own, other := &url.URL{Scheme: "https", Host: "reg:1", Path: "/"}, &url.URL{Scheme: "https", Host: "reg:2", Path: "/"}
	plain := &url.URL{Scheme: "http", Host: "reg:1", Path: "/"}
	for _, row := range []struct {
		from, to *url.URL
		want     string
	}{
		{own, own, "a=b"},
		{own, other, ""},
		{own, plain, ""},
		{other, own, ""},
		{other, other, ""},
	} {
		j := newJar(originOf(own))
		if err := j.keep(row.from, &http.Response{Header: http.Header{"Set-Cookie": {"a=b; Path=/"}}}); err != nil {
			t.Fatal(err)
		}
		req := &http.Request{URL: row.to, Header: http.Header{}}
		j.add(req)
		if got := req.Header.Get("Cookie"); got != row.want {
			t.Errorf("from %s to %s: %q", row.from, row.to, got)
		}
	}
}

func TestCookiesAreNotSharedBetweenPulls(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Cookie: true})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	for range 2 {
		if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range srv.Requests() {
		if strings.HasSuffix(r.URI, "/busybox/images") && r.Header.Get("Cookie") != "" {
			t.Errorf("the index call of another pull was sent the cookie %q", r.Header.Get("Cookie"))
		}
	}
}

func TestCookiesAreBounded(t *testing.T) {
	t.Parallel()
	for name, cookies := range map[string][]string{
		"too many": strings.Split(strings.Repeat("a=b,", maxCookies+1), ","),
		"too long": {"a=" + strings.Repeat("b", maxCookieBytes)},
	} {
		srv, c := registry(t, v1test.Quirks{})
		srv.Fail(v1test.Failure{Path: path(`/images$`), Status: 200, Header: http.Header{"Set-Cookie": cookies}})
		if _, err := c.Image(t.Context(), "busybox", "latest"); err == nil || !strings.Contains(err.Error(), "cookie") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusalSaysThatRefreshTokensAreUnknown(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ user, secret, want string }{
		{"", "", "credentials are missing or wrong"},
		{"alice", "wrong", "credentials are missing or wrong"},
		{"", "refresh-token", "there is only a refresh token"},
	} {
		srv, c := registry(t, v1test.Quirks{User: "alice", Secret: "s3cret"})
		srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
		c.Credentials = as(row.user, row.secret)
		if _, err := c.Image(t.Context(), "busybox", "latest"); !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q with %q: %v", row.user, row.secret, err)
		}
		for _, r := range srv.Requests() {
			if row.user == "" && r.Header.Get("Authorization") != "" {
				t.Errorf("%s: Authorization %q", r.URI, r.Header.Get("Authorization"))
			}
		}
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Token: []string{"t0ken-value"}})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	c.Credentials = as("alice", "s3cret-value")
	for _, body := range []string{"you sent t0ken-value", "you sent s3cret-value", "you sent YWxpY2U6czNjcmV0LXZhbHVl"} {
		srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 403, Body: `{"error": "` + body + `"}`})
		_, err := c.Image(t.Context(), "busybox", "latest")
		if !errdefs.IsPermissionDenied(err) {
			t.Fatalf("error %v", err)
		}
		if strings.Contains(err.Error(), body) {
			t.Errorf("error repeats a secret: %v", err)
		}
	}
}

// adding is a transport that adds a header to its requests, as a clone.
type adding struct {
	http.RoundTripper
	name, value string
}

func (a adding) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(a.name, a.value)
	return a.RoundTripper.RoundTrip(req)
}

// Servers repeat what came with a request, and may not know what is secret.
func TestWhatARequestCarriesStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]func(*http.Request) string{
		"a header of the transport":       func(r *http.Request) string { return r.Header.Get("X-Team") },
		"a cookie":                        func(r *http.Request) string { return r.Header.Get("Cookie") },
		"a cookie's value":                func(r *http.Request) string { _, v, _ := strings.Cut(r.Header.Get("Cookie"), "="); return v },
		"the query of a signed address":   func(r *http.Request) string { return r.URL.RawQuery },
		"a signature":                     func(r *http.Request) string { return r.URL.Query().Get("sig") },
		"a signature that is cut off":     func(r *http.Request) string { return strings.Repeat("-", 190) + r.URL.Query().Get("sig") },
		"the signature of the hop before": func(*http.Request) string { return "before/SECRET" },
	} {
		srv, c := registry(t, v1test.Quirks{})
		built := srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
		c.HTTP.Transport = adding{c.HTTP.Transport, "X-Team", "SECRET-TEAM"}
		srv.Fail(v1test.Failure{Path: path(`/busybox/images$`), Status: 200, Header: http.Header{"Set-Cookie": {"session=SECRET-COOKIE; Path=/"}}})
		ancestry := "/v1/images/" + built[0].ID + "/ancestry"
		for _, sig := range []string{"before%2FSECRET", "S1%2FSECRET-QUERY"} {
			srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Status: 302, Header: http.Header{"Location": {ancestry + "?sig=" + sig}}})
		}
		srv.Fail(v1test.Failure{Path: path(`/ancestry$`), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, said(r), http.StatusForbidden)
		})})
		_, err := c.Image(t.Context(), "busybox", "latest")
		if !errdefs.IsPermissionDenied(err) {
			t.Fatalf("%s: error %v", name, err)
		}
		if !strings.Contains(err.Error(), "repeats a secret") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
