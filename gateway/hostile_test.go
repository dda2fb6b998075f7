package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// TestHostileRequests are requests that reach no registry.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	g := newGateway(t, nil, u)
	for _, tt := range []struct {
		name, method, path string
		status             int
		code               string
	}{
		{"a parent in the name", "GET", "/v2/../../etc/passwd/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a parent in the middle", "GET", "/v2/a/../b/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"an encoded parent", "GET", "/v2/a/%2e%2e/b/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"an encoded slash", "GET", "/v2/a%2Fb/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"an encoded backslash", "GET", "/v2/a%5cb/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a slash encoded twice", "GET", "/v2/a%252Fb/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a NUL", "GET", "/v2/a%00b/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a line feed", "GET", "/v2/a%0d%0aX-Evil:1/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"an empty element", "GET", "/v2/a//b/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"no name", "GET", "/v2//manifests/1?ns=HOST", 400, codeNameInvalid},
		{"capitals", "GET", "/v2/App/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a long name", "GET", "/v2/" + strings.Repeat("a", 256) + "/manifests/1?ns=HOST", 400, codeNameInvalid},
		{"a parent as a tag", "GET", "/v2/app/manifests/..?ns=HOST", 404, codeManifestUnknown},
		{"an encoded parent as a tag", "GET", "/v2/app/manifests/%2e%2e?ns=HOST", 400, codeNameInvalid},
		{"a long tag", "GET", "/v2/app/manifests/" + strings.Repeat("a", 129) + "?ns=HOST", 404, codeManifestUnknown},
		{"a tag with a line feed", "GET", "/v2/app/manifests/a%0ab?ns=HOST", 404, codeManifestUnknown},
		{"a digest with a path", "GET", "/v2/app/blobs/sha256:..%2f..%2fsecret?ns=HOST", 400, codeNameInvalid},
		{"a short digest", "GET", "/v2/app/blobs/sha256:abc?ns=HOST", 400, codeDigestInvalid},
		{"a digest in capitals", "GET", "/v2/app/blobs/" + strings.ToUpper(someDigest) + "?ns=HOST", 400, codeDigestInvalid},
		{"a digest of no known kind", "GET", "/v2/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e?ns=HOST", 400, codeDigestInvalid},
		{"a tag for a blob", "GET", "/v2/app/blobs/latest?ns=HOST", 400, codeDigestInvalid},
		{"a tag for referrers", "GET", "/v2/app/referrers/latest?ns=HOST", 400, codeDigestInvalid},
		{"a bad manifest digest", "GET", "/v2/app/manifests/sha256:zz?ns=HOST", 400, codeDigestInvalid},
		{"ns twice", "GET", "/v2/app/manifests/1?ns=HOST&ns=other.test", 400, codeNameInvalid},
		{"ns empty", "GET", "/v2/app/manifests/1?ns=", 400, codeNameInvalid},
		{"ns with a path", "GET", "/v2/app/manifests/1?ns=HOST/../x", 400, codeNameInvalid},
		{"ns with a user", "GET", "/v2/app/manifests/1?ns=a@HOST", 400, codeNameInvalid},
		{"ns with a scheme", "GET", "/v2/app/manifests/1?ns=http://HOST", 400, codeNameInvalid},
		{"ns with a line feed", "GET", "/v2/app/manifests/1?ns=HOST%0d%0aX:1", 400, codeNameInvalid},
		{"ns a parent", "GET", "/v2/app/manifests/1?ns=..", 400, codeNameInvalid},
		{"ns the default directory", "GET", "/v2/app/manifests/1?ns=_default", 400, codeNameInvalid},
		{"ns long", "GET", "/v2/app/manifests/1?ns=" + strings.Repeat("a", 300), 400, codeNameInvalid},
		{"a query that is none", "GET", "/v2/app/manifests/1?ns=HOST;x", 400, codeUnsupported},
		{"no registry", "GET", "/v2/app/manifests/1", 404, codeNameUnknown},
		{"a registry alone", "GET", "/v2/registry.example/manifests/1", 400, codeNameInvalid},
		{"the catalog", "GET", "/v2/_catalog?ns=HOST", 404, codeUnsupported},
		{"an upload", "POST", "/v2/app/blobs/uploads/?ns=HOST", 405, codeUnsupported},
		{"a push", "PUT", "/v2/app/manifests/1?ns=HOST", 405, codeUnsupported},
		{"a deletion", "DELETE", "/v2/app/manifests/1?ns=HOST", 405, codeUnsupported},
		{"options", "OPTIONS", "/v2/", 405, codeUnsupported},
		{"a post to health", "POST", "/healthz", 405, codeUnsupported},
		{"a deletion of readiness", "DELETE", "/readyz", 405, codeUnsupported},
		{"a deletion of metrics", "DELETE", "/metrics", 405, codeUnsupported},
		{"an upload's status", "GET", "/v2/app/blobs/uploads/1?ns=HOST", 404, codeUnsupported},
		{"another version", "GET", "/v1/repositories/app/tags?ns=HOST", 404, codeUnsupported},
		{"a longer version", "GET", "/v22/app/manifests/1?ns=HOST", 404, codeUnsupported},
		{"the root", "GET", "/", 404, codeUnsupported},
		{"debugging", "GET", "/debug/pprof/", 404, codeUnsupported},
		{"a proxy's request", "GET", "http://169.254.169.254/latest/meta-data", 421, codeDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, header, body := g.raw(t, tt.method, strings.ReplaceAll(tt.path, "HOST", u.host))
			if status != tt.status || !strings.Contains(body, `{"errors":[{"code":"`+tt.code+`","message":"`) {
				t.Errorf("got %d %s", status, body)
			}
			if header.Get("X-Evil") != "" || header.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", header)
			}
			if allow := header.Get("Allow"); (status == 405) != (allow == "GET, HEAD") {
				t.Errorf("Allow %q", allow)
			}
		})
	}
	for _, r := range u.seen() {
		t.Errorf("the registry was asked for %s %s", r.Method, r.URL)
	}
}

// raw sends a request line as it is, which Go's client would mend.
func (g *testGateway) raw(tb testing.TB, method, uri string, header ...string) (int, http.Header, string) {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", g.Listener.Addr().String())
	must(tb, err)
	defer conn.Close()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s: %s\r\n", method, uri, g.Listener.Addr(), tokenHeader, g.secret)
	_, err = io.WriteString(conn, head+strings.Join(append(header, "", ""), "\r\n"))
	must(tb, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	must(tb, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(tb, err)
	return resp.StatusCode, resp.Header, string(body)
}

// silent is a listener that must see nobody.
func silent(tb testing.TB) (host string, seen *atomic.Int32) {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	must(tb, err)
	seen = &atomic.Int32{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			seen.Add(1)
			_ = c.Close()
		}
	}()
	tb.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), seen
}

func TestOtherUpstreamsAreRefusedWithoutTouchingTheNetwork(t *testing.T) {
	lookups := countLookups(t)
	host, seen := silent(t)
	u := newUpstream(t, nil)
	// A _default directory makes nothing an upstream.
	g := newGateway(t, nil, u, defaultDir{u})
	port := host[strings.LastIndexByte(host, ':'):]
	for _, ns := range []string{
		host, "localhost" + port, "[::1]" + port, "169.254.169.254", "metadata.google.internal", "registry.example", "docker.io", "[fe80::1]:80", "0.0.0.0" + port,
	} {
		for _, path := range []string{"/manifests/1", "/manifests/" + someDigest, "/blobs/" + someDigest, "/tags/list", "/referrers/" + someDigest} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := g.do(t, method, "/v2/app"+path+"?ns="+ns)
				want := `{"errors":[{"code":"DENIED","message":"` + ns + ` is not an upstream of this gateway: make a certs.d directory named after it, or add it to upstreams"}]}` + "\n"
				if method == http.MethodHead {
					want = ""
				}
				if a.status != http.StatusForbidden || string(a.body) != want {
					t.Errorf("%s %s at %s: %d %s", method, path, ns, a.status, a.body)
				}
			}
		}
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	if n := lookups(); n != 0 {
		t.Errorf("%d names were looked up", n)
	}
}

// TestSuffixDirectoryMakesNothingAnUpstream, where it serves registries.
func TestSuffixDirectoryMakesNothingAnUpstream(t *testing.T) {
	lookups := countLookups(t)
	u := newUpstream(t, nil)
	g := newGateway(t, func(o *options) { o.Hosts.SuffixDirectories = true }, u, suffixDir{u})
	for _, ns := range []string{"registry.corp.test", "corp.test", "_.corp.test"} {
		if a := g.do(t, http.MethodGet, "/v2/app/manifests/1?ns="+ns); a.status != http.StatusForbidden && a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", ns, a.status, a.body)
		}
	}
	if n := lookups(); n != 0 {
		t.Errorf("%d names were looked up", n)
	}
}

type suffixDir struct{ *upstream }

func (d suffixDir) dir(tb testing.TB, root string) {
	tb.Helper()
	must(tb, os.MkdirAll(filepath.Join(root, "_.corp.test"), 0o755))
	must(tb, d.servers.Write(filepath.Join(root, "_.corp.test"), "ca"))
}

type defaultDir struct{ *upstream }

func (d defaultDir) dir(tb testing.TB, root string) {
	tb.Helper()
	must(tb, os.MkdirAll(filepath.Join(root, "_default"), 0o755))
	must(tb, d.servers.Write(filepath.Join(root, "_default"), "ca"))
}

// brokenDir has a mistake in hosts.toml.
type brokenDir struct{ *upstream }

func (d brokenDir) dir(tb testing.TB, root string) {
	tb.Helper()
	must(tb, os.WriteFile(filepath.Join(root, d.host, "hosts.toml"), []byte("sever = 'https://other.test'\n"), 0o600))
}

// countLookups makes Go's own resolver ask a server that counts.
func countLookups(t *testing.T) func() int32 {
	t.Helper()
	var n atomic.Int32
	preferGo, dial := net.DefaultResolver.PreferGo, net.DefaultResolver.Dial
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) {
		n.Add(1)
		return nil, net.ErrClosed
	}
	t.Cleanup(func() { net.DefaultResolver.PreferGo, net.DefaultResolver.Dial = preferGo, dial })
	return n.Load
}

func TestConfiguredUpstreamIsAsked(t *testing.T) {
	t.Parallel()
	host, seen := silent(t)
	g := newGateway(t, func(o *options) {
		o.Upstreams = []string{strings.ToUpper("LocalHost") + host[strings.LastIndexByte(host, ':'):]}
	})
	a := g.do(t, http.MethodGet, "/v2/app/manifests/1?ns=localhost"+host[strings.LastIndexByte(host, ':'):])
	if a.status != http.StatusBadGateway || seen.Load() == 0 {
		t.Errorf("got %d %s, %d connections", a.status, a.body, seen.Load())
	}
}

func TestHostIsChecked(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(o *options) { o.Names = []string{"Gateway.test"} })
	_, port, err := net.SplitHostPort(g.Listener.Addr().String())
	must(t, err)
	got := map[string]int{}
	want := map[string]int{
		"localhost:" + port: 200, "LOCALHOST": 200, "127.0.0.1:" + port: 200, "127.1.2.3": 200, "[::1]:" + port: 200, "gateway.test": 200, "GATEWAY.TEST:1": 200,
		"evil.example": 421, "evil.example:" + port: 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "192.0.2.1": 421,
	}
	for host := range want {
		for _, path := range []string{"/v2/", "/metrics"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+path, nil)
			must(t, err)
			req.Host = host
			req.Header.Set(tokenHeader, g.secret)
			resp, err := g.Client().Do(req)
			must(t, err)
			_ = resp.Body.Close()
			if old, ok := got[host]; ok && old != resp.StatusCode {
				t.Errorf("%s: %d and %d", host, old, resp.StatusCode)
			}
			got[host] = resp.StatusCode
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHealthIsForEverybodyAndMetricsAreNot(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if a := g.do(t, http.MethodGet, path, tokenHeader, ""); a.status != http.StatusOK || string(a.body) != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := g.do(t, http.MethodGet, "/metrics", tokenHeader, ""); a.status != http.StatusOK || !strings.Contains(string(a.body), "go_goroutines") {
		t.Errorf("metrics on this machine: %d", a.status)
	}
	for secret, want := range map[string]int{"": http.StatusUnauthorized, g.secret: http.StatusOK} {
		if status := remoteMetrics(t, g, secret); status != want {
			t.Errorf("metrics from elsewhere with secret %q: %d", secret, status)
		}
	}
	g.handler.stopping.Store(true)
	if a := g.do(t, http.MethodGet, "/readyz"); a.status != http.StatusServiceUnavailable || string(a.body) != "stopping\n" {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
}

func remoteMetrics(tb testing.TB, g *testGateway, secret string) int {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "http://127.0.0.1/metrics", nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set(tokenHeader, secret)
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w.Code
}

func TestTheGatewayKnowsItsOwnRequests(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	g := newGateway(t, nil, u)
	var loop answer
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		// As if the directory led back to the gateway.
		loop = g.do(t, r.Method, r.URL.Path+"?ns="+u.host, "Via", r.Header.Get("Via"))
		w.WriteHeader(loop.status)
		return true
	})
	g.do(t, http.MethodGet, "/v2/app/blobs/"+someDigest+"?ns="+u.host)
	if loop.status != http.StatusLoopDetected || !strings.Contains(string(loop.body), "must not be in its own root") {
		t.Errorf("got %d %s", loop.status, loop.body)
	}
}

// Two gateways that lead to each other end a request, and wait for nothing.
func TestTheGatewayKnowsItsOwnRequestsByWayOfAnother(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	other := newUpstream(t, nil)
	first, second := newGateway(t, nil, u), newGateway(t, nil, other)
	var via []string
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		a := second.do(t, r.Method, r.URL.Path+"?ns="+other.host, "Via", r.Header.Get("Via"))
		w.WriteHeader(a.status)
		return true
	})
	other.answers(func(w http.ResponseWriter, r *http.Request) bool {
		via = append(via, r.Header.Get("Via"))
		a := first.do(t, r.Method, r.URL.Path+"?ns="+u.host, "Via", r.Header.Get("Via"))
		w.WriteHeader(a.status)
		return true
	})
	for _, path := range []string{"/blobs/" + someDigest, "/manifests/1", "/tags/list", "/referrers/" + someDigest} {
		via = nil
		if a := first.do(t, http.MethodGet, "/v2/app"+path+"?ns="+u.host, "Via", "1.1 proxy"); a.status != http.StatusBadGateway {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		if want := "1.1 proxy, 1.1 certsd-" + first.handler.upstreams.id + ", 1.1 certsd-" + second.handler.upstreams.id; len(via) == 0 || via[0] != want {
			t.Errorf("%s: Via %q, want %s", path, via, want)
		}
	}
}

func TestBodiesAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for _, header := range []string{"Content-Length: 1000000", "Transfer-Encoding: chunked"} {
		status, h, body := g.raw(t, http.MethodPost, "/v2/app/blobs/uploads/?ns=registry.example", header)
		if status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %v %s", header, status, h, body)
		}
	}
}
