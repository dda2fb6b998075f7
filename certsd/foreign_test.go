package certsd

import (
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// private are headers that a registry alone may see.
var private = http.Header{
	"Authorization":  {"Bearer secret"},
	"Cookie":         {"session=secret"},
	"X-Docker-Token": {"true"},
	"X-Scoped":       {"secret"},
	"X-Configured":   {"secret"},
	"X-Other":        {"secret"},
}

// public are headers that say what is wanted.
var public = http.Header{
	"Accept":     {"application/vnd.oci.image.manifest.v1+json", "*/*"},
	"Range":      {"bytes=5-"},
	"User-Agent": {"tests"},
	"If-Range":   {"\"x\""},
}

func secrets(h http.Header) []string {
	var found []string
	for name, values := range h {
		if strings.Contains(strings.Join(values, " "), "secret") || name == "X-Docker-Token" || name == "Referer" {
			found = append(found, name)
		}
	}
	return found
}

// With a directory of its own the target of a redirect gets what that says, and
// nothing of the registry's in any case.
func TestRedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		own      []string // pairs in the target's own directory, nil: no directory
		fallback []string // pairs in _default
		want     string   // the client the target sees
	}{
		"no directory":                {nil, nil, ""},
		"own directory with a pair":   {[]string{"t"}, nil, "t"},
		"_default is not for targets": {nil, []string{"d"}, ""},
	} {
		for _, redirect := range []int{301, 302, 303, 307, 308} {
			t.Run(name+" "+http.StatusText(redirect), func(t *testing.T) {
				t.Parallel()
				target := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
				s := newTLSServer(t, serverOptions{
					auth: tls.RequestClientCert,
					handle: func(w http.ResponseWriter, r *http.Request, _ string) {
						http.Redirect(w, r, target.URL+"/blob?signature=x", redirect)
					},
				})
				dir := newCertsDir(t)
				dir.add(t, s.host, "a", "b")
				if row.own != nil {
					dir.add(t, target.host, row.own...)
				}
				if row.fallback != nil {
					dir.add(t, "_default", row.fallback...)
				}
				tr := dir.transport(t)
				host, err := tr.hosts().Lookup(s.host)
				if err != nil {
					t.Fatal(err)
				}
				ep := *host.Endpoints[0]
				ep.Header = http.Header{"x-configured": private["X-Configured"]}
				req := newRequest(t.Context(), t, "GET", s.URL+"/v2/app/blobs/sha256:1", "")
				for _, h := range []http.Header{private, public} {
					maps.Copy(req.Header, h)
				}
				before := req.Header.Clone()
				scoped := http.Header{"X-Scoped": private["X-Scoped"]}
				if status, err := send(t, tr.ForEndpoint(s.host, &ep, scoped), req); err != nil || status != 200 {
					t.Fatalf("status %d, error %v", status, err)
				}
				if diff := cmp.Diff(before, req.Header); diff != "" {
					t.Errorf("the request was changed:\n%s", diff)
				}
				home := s.takeAll()
				if len(home) != 1 || home[0].Client != "a" || len(secrets(home[0].Header)) != len(private) {
					t.Errorf("the registry saw %v", home)
				}
				got := target.takeAll()
				if len(got) != 1 {
					t.Fatalf("%d requests at the target", len(got))
				}
				if got[0].Client != row.want {
					t.Errorf("client %q at the target, want %q", got[0].Client, row.want)
				}
				if found := secrets(got[0].Header); len(found) > 0 {
					t.Errorf("at the target: %v", found)
				}
				for name, values := range public {
					if diff := cmp.Diff(values, got[0].Header[name]); diff != "" {
						t.Errorf("%s (-want +got):\n%s", name, diff)
					}
				}
			})
		}
	}
}

func TestRedirectOnTheSameOriginKeepsEverything(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{
		auth: tls.RequestClientCert,
		handle: func(w http.ResponseWriter, r *http.Request, _ string) {
			if r.URL.Path != "/elsewhere" {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			}
		},
	})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a")
	req := newRequest(t.Context(), t, "GET", s.URL+"/v2/", "")
	req.Header = private.Clone()
	if _, err := send(t, view(t, dir.transport(t), s.host, private), req); err != nil {
		t.Fatal(err)
	}
	got := s.takeAll()
	if len(got) != 2 || got[1].Client != "a" || len(secrets(got[1].Header)) < len(private) {
		t.Errorf("got %v", got)
	}
}

// A redirect that leads back brings nothing back.
func TestRedirectThereAndBack(t *testing.T) {
	t.Parallel()
	var home *tlsServer
	away := newTLSServer(t, serverOptions{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, home.URL+"/back", http.StatusTemporaryRedirect)
	}})
	home = newTLSServer(t, serverOptions{
		auth: tls.RequestClientCert,
		handle: func(w http.ResponseWriter, r *http.Request, _ string) {
			if r.URL.Path != "/back" {
				http.Redirect(w, r, away.URL+"/", http.StatusTemporaryRedirect)
			}
		},
	})
	dir := newCertsDir(t)
	dir.add(t, home.host, "a")
	req := newRequest(t.Context(), t, "GET", home.URL+"/v2/", "")
	req.Header = private.Clone()
	if _, err := send(t, view(t, dir.transport(t), home.host, nil), req); err != nil {
		t.Fatal(err)
	}
	got := home.takeAll()
	if len(got) != 2 || len(secrets(got[1].Header)) > 0 {
		t.Errorf("got %v", got)
	}
}

// A request to a token server, or the Location of an upload, is no redirect.
func TestRequestToTheTokenServer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		own           []string
		authorization string
		want          string
		wantAuth      string
	}{
		"own directory":           {[]string{"t1", "t2"}, "Basic dXNlcjpzZWNyZXQ=", "t2", "Basic dXNlcjpzZWNyZXQ="},
		"no directory":            {nil, "Basic dXNlcjpzZWNyZXQ=", "", "Basic dXNlcjpzZWNyZXQ="},
		"the registry's own":      {nil, "Bearer configured", "", ""},
		"one that the user wrote": {nil, "Bearer scoped", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serverOptions{auth: tls.RequestClientCert}
			if row.own != nil {
				o.handle = allow(403, "t2")
			}
			token := newTLSServer(t, o)
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			dir.write(t, s.host+"/hosts.toml", `
[host."`+s.URL+`".header]
  Authorization = "Bearer configured"
  x-configured = ["secret", "secret"]
`)
			if row.own != nil {
				dir.add(t, token.host, row.own...)
			}
			req := newRequest(t.Context(), t, "GET", token.URL+"/token?scope=x", "")
			req.Header = http.Header{
				"Authorization": {row.authorization}, "X-Configured": {"secret"}, "X-Scoped": {"secret"},
				"X-Docker-Token": {"true"}, "User-Agent": {"tests"},
			}
			before := req.Header.Clone()
			rt := view(t, dir.transport(t), s.host, http.Header{"x-scoped": {"secret"}, "authorization": {"Bearer scoped"}})
			if status, err := send(t, rt, req); err != nil || status != 200 {
				t.Fatalf("status %d, error %v", status, err)
			}
			if diff := cmp.Diff(before, req.Header); diff != "" {
				t.Errorf("the request was changed:\n%s", diff)
			}
			got := token.takeAll()
			last := got[len(got)-1]
			if last.Client != row.want {
				t.Errorf("client %q, want %q", last.Client, row.want)
			}
			if got := last.Header.Get("Authorization"); got != row.wantAuth {
				t.Errorf("authorization %q, want %q", got, row.wantAuth)
			}
			for _, name := range []string{"X-Configured", "X-Scoped"} {
				if values := last.Header[name]; values != nil {
					t.Errorf("%s: %v", name, values)
				}
			}
			if last.Header.Get("User-Agent") != "tests" || last.Header.Get("X-Docker-Token") != "true" {
				t.Errorf("header %v", last.Header)
			}
		})
	}
}

// A POST for a token has the password in its body.
func TestTokenRequestIsNotRedirected(t *testing.T) {
	t.Parallel()
	target := newTLSServer(t, serverOptions{})
	token := newTLSServer(t, serverOptions{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, target.URL+"/", http.StatusTemporaryRedirect)
	}})
	dir := newCertsDir(t)
	dir.add(t, token.host)
	req := newRequest(t.Context(), t, "POST", token.URL+"/token", "password=secret")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err := send(t, dir.transport(t), req)
	if err == nil || !strings.Contains(err.Error(), "may hold credentials") {
		t.Errorf("error %v", err)
	}
	if got := target.take(); got != nil {
		t.Errorf("the target saw %v", got)
	}
}

// A host that asks for a certificate without having a directory is told about
// with the directory to create.
func TestStrangerThatAsksForACertificate(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]serverOptions{
		"by an alert, TLS 1.3": {auth: tls.RequireAnyClientCert},
		"by an alert, TLS 1.2": {auth: tls.RequireAnyClientCert, maxVersion: tls.VersionTLS12},
		"by 403":               {auth: tls.RequestClientCert, handle: allow(403)},
		"by nginx's 400": {auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(400)
			_, _ = w.Write([]byte("<title>400 No required SSL certificate was sent</title>"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := newTLSServer(t, row)
			s := newTLSServer(t, serverOptions{})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a")
			want := "server " + token.host + " asked for a client certificate: create the directory " +
				filepath.Join(string(dir), strings.ReplaceAll(token.host, ":", "_")+"_") +
				" with NAME.cert and NAME.key, and with the CA root that signed its certificate as NAME.crt unless the system has it"
			ctx, trail := WithTrail(t.Context())
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, "GET", token.URL+"/token", ""))
			if row.handle == nil {
				var refused *RefusedError
				if !errors.As(err, &refused) || refused.Hint != want {
					t.Errorf("error %v", err)
				}
			}
			if got := trail.String(); !strings.Contains(got, want) {
				t.Errorf("the trail lacks %q:\n%s", want, got)
			}
		})
	}
}

// The zero Transport serves clients that know nothing of it.
func TestTransportWithoutRegistry(t *testing.T) {
	t.Parallel()
	target := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	s := newTLSServer(t, serverOptions{
		auth: tls.RequestClientCert,
		handle: func(w http.ResponseWriter, r *http.Request, client string) {
			switch {
			case client != "b":
				w.WriteHeader(403)
			case r.URL.Path == "/v2/away":
				http.Redirect(w, r, target.URL+"/", http.StatusTemporaryRedirect)
			}
		},
	})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	dir.write(t, s.host+"/hosts.toml", "server = \"https://"+s.host+"\"\n[header]\n  X-Configured = \"secret\"\n")
	dir.add(t, "_default", "d")
	tr := dir.transport(t)

	req := newRequest(t.Context(), t, "GET", s.URL+"/v2/away", "")
	req.Header.Set("Authorization", "Bearer secret")
	if status, err := send(t, tr, req); err != nil || status != 200 {
		t.Fatalf("status %d, error %v: the CA roots of the registry count for the target", status, err)
	}
	for _, r := range s.takeAll() {
		if r.Header.Get("X-Configured") != "secret" {
			t.Errorf("the configured header is missing: %v", r.Header)
		}
	}
	got := target.takeAll()
	if len(got) != 1 || got[0].Client != "" || len(secrets(got[0].Header)) > 0 {
		t.Errorf("the target saw %v", got)
	}
	// A request of its own has nobody's roots.
	_, err := send(t, tr, newRequest(t.Context(), t, "GET", target.URL+"/", ""))
	if !errors.As(err, new(*VerificationError)) {
		t.Errorf("error %v, want a VerificationError", err)
	}
}

// Connections to hosts without a directory are kept, too.
func TestStrangersConnectionsAreKept(t *testing.T) {
	t.Parallel()
	token, s := newTLSServer(t, serverOptions{}), newTLSServer(t, serverOptions{})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	tr := dir.transport(t)
	for range 3 {
		get(t, view(t, tr, s.host, nil), token.URL+"/token")
	}
	if token.conns != 1 {
		t.Errorf("%d connections", token.conns)
	}
}

// The directory of docker.io is for registry-1.docker.io, where its registry is.
func TestDirectoryOfAnotherAddress(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	dir.add(t, "docker.io", "a")
	if host, err := (router{dir.transport(t)}).own(t.Context(), "https", "docker.io"); host != nil || err != nil {
		t.Errorf("got %+v, error %v", host, err)
	}
}

func TestTransportWithRegistry(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	other := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	dir.add(t, "_default", "d")
	tr := dir.transport(t)
	tr.Registry = s.host
	get(t, tr, s.URL+"/v2/")
	if diff := cmp.Diff([]string{"d"}, s.clients()); diff != "" {
		t.Errorf("the registry (-want +got):\n%s", diff)
	}
	get(t, tr, other.URL+"/v2/")
	if diff := cmp.Diff([]string{""}, other.clients()); diff != "" {
		t.Errorf("another host gets the registry's roots and no certificate (-want +got):\n%s", diff)
	}
}
