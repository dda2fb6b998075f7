package certsd

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

// plainServer is a registry without TLS.
func plainServer(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func ok(http.ResponseWriter, *http.Request) {}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		// setUp makes the directory.
		setUp func(t *testing.T, dir certsDir, host string)
		// change is what the caller does to the endpoint.
		change func(*Endpoint)
		// before is done with the transport first.
		before func(t *testing.T, tr *Transport, host string)
		path   string // of the request, /v2/ if empty
		want   string // in the error, empty if it is allowed
	}{
		"wished for, nothing configured": {
			change: func(e *Endpoint) { e.Scheme = "http" },
		},
		"not wished for, but localhost": {},
		"configured": {
			setUp: func(t *testing.T, dir certsDir, host string) {
				t.Helper()
				dir.write(t, host+"/hosts.toml", "server = \"http://"+host+"\"\n")
			},
		},
		"configured, though it spoke TLS": {
			setUp: func(t *testing.T, dir certsDir, host string) {
				t.Helper()
				dir.write(t, host+"/hosts.toml", "server = \"http://"+host+"\"\n")
			},
			before: func(_ *testing.T, tr *Transport, host string) { tr.spokenTLS().add(host) },
		},
		"configured to fall back": {
			setUp: func(t *testing.T, dir certsDir, host string) {
				t.Helper()
				dir.write(t, host+"/hosts.toml", "[host.\"http://"+host+"\"]\n  skip_verify = true\n")
			},
		},
		"wished for, but there is a CA": {
			setUp:  func(t *testing.T, dir certsDir, host string) { t.Helper(); dir.add(t, host) },
			change: func(e *Endpoint) { e.Scheme = "http" },
			want:   "TLS is configured for it in DIR: use https",
		},
		"wished for, but there is a pair in _default": {
			setUp:  func(t *testing.T, dir certsDir, _ string) { t.Helper(); dir.add(t, "_default", "a") },
			change: func(e *Endpoint) { e.Scheme = "http" },
			want:   "TLS is configured for it in ",
		},
		"named by the registry itself, for its tokens": {
			setUp: func(t *testing.T, dir certsDir, host string) { t.Helper(); dir.add(t, host) },
			path:  "/service/token",
			want:  "HOST names it, and credentials would be readable on the way: behind a proxy that ends TLS, set the registry's external URL to https://",
		},
		"named for its tokens, where it spoke TLS": {
			change: func(e *Endpoint) { e.Localhost = false },
			before: func(_ *testing.T, tr *Transport, host string) { tr.spokenTLS().add(host) },
			path:   "/token",
			want:   "HOST names it, and credentials would be readable on the way",
		},
		"wished for, but it spoke TLS": {
			change: func(e *Endpoint) { e.Scheme = "http" },
			before: func(_ *testing.T, tr *Transport, host string) { tr.spokenTLS().add(host) },
			want:   "it was seen to speak TLS",
		},
		"configured to fall back, but it spoke TLS": {
			setUp: func(t *testing.T, dir certsDir, host string) {
				t.Helper()
				dir.write(t, host+"/hosts.toml", "[host.\"http://"+host+"\"]\n  skip_verify = true\n")
			},
			before: func(_ *testing.T, tr *Transport, host string) { tr.spokenTLS().add(host) },
			want:   "it was seen to speak TLS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := plainServer(t, ok)
			dir := newCertsDir(t)
			if row.setUp != nil {
				row.setUp(t, dir, host)
			}
			tr := dir.transport(t)
			found, err := tr.hosts().Lookup(host)
			if err != nil {
				t.Fatal(err)
			}
			ep := *found.Endpoints[0]
			if row.change != nil {
				row.change(&ep)
			}
			if row.before != nil {
				row.before(t, tr, host)
			}
			status, err := send(t, tr.ForEndpoint(host, &ep, nil), newRequest(t.Context(), t, "GET", "http://"+host+cmp.Or(row.path, "/v2/"), ""))
			var plain *PlainHTTPError
			refused := errors.As(err, &plain)
			switch {
			case row.want == "" && (err != nil || status != 200):
				t.Errorf("status %d, error %v", status, err)
			case row.want != "" && (!refused || plain.Host != host || !strings.Contains(err.Error(), strings.NewReplacer("DIR", string(dir)+"/"+host, "HOST", "https://"+host).Replace(row.want))):
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
}

// A host that shook hands, or whose directory had a pair, is remembered when
// its directory is gone.
func TestTLSIsRemembered(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{})
	dir := newCertsDir(t)
	tr := dir.transport(t)
	found, err := tr.hosts().Lookup(s.host)
	if err != nil {
		t.Fatal(err)
	}
	ep := *found.Endpoints[0]
	ep.SkipVerify = true
	rt := tr.ForEndpoint(s.host, &ep, nil)
	get(t, rt, s.URL+"/v2/")
	ep.Scheme = "http"
	_, err = send(t, tr.ForEndpoint(s.host, &ep, nil), newRequest(t.Context(), t, "GET", "http://"+s.host+"/v2/", ""))
	if !errors.As(err, new(*PlainHTTPError)) {
		t.Errorf("error %v", err)
	}
}

func TestConfiguredTLSIsRemembered(t *testing.T) {
	t.Parallel()
	host := plainServer(t, ok)
	dir := newCertsDir(t)
	path := dir.add(t, host, "a")
	tr := dir.transport(t)
	rt := view(t, tr, host, nil)
	if _, err := send(t, rt, newRequest(t.Context(), t, "GET", "https://"+host+"/v2/", "")); err == nil {
		t.Fatal("no error")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	_, err := send(t, rt, newRequest(t.Context(), t, "GET", "http://"+host+"/v2/", ""))
	if !errors.As(err, new(*PlainHTTPError)) {
		t.Errorf("error %v", err)
	}
}

func TestDowngrade(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		direct bool
		want   string
	}{
		"a redirect from https":                 {false, "a redirect of https://HOME leads there"},
		"a token server that https has invoked": {true, "https://HOME names it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := plainServer(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
			s := newTLSServer(t, serverOptions{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
				http.Redirect(w, r, "http://"+plain+"/", http.StatusTemporaryRedirect)
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host)
			url := s.URL + "/v2/"
			if row.direct {
				url = "http://" + plain + "/token"
			}
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, "GET", url, ""))
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(row.want, "HOME", s.host)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestTLSMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m tlsMemory
	for i := range maxTLSHosts + 10 {
		m.add(strconv.Itoa(i))
	}
	if len(m.hosts) != maxTLSHosts {
		t.Errorf("%d hosts", len(m.hosts))
	}
}

// httpProxy is a proxy for CONNECT, without and with TLS.
func httpProxy(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		to, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		w.WriteHeader(200)
		from, sent, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer from.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			// The client's first bytes may have been read before the hijack.
			_, _ = io.Copy(to, sent)
			_ = to.Close()
		}()
		_, _ = io.Copy(from, to)
		_ = from.Close()
		<-done
	}
}
