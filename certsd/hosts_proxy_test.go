package certsd

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// connectProxy is a proxy that wants a user and a password, if it has one.
type connectProxy struct {
	*httptest.Server
	auth string
	// names are the addresses of hosts.
	names map[string]string

	mu sync.Mutex
	// asked are the methods and the hosts of the requests, headers theirs, and
	// clients who came for them by their certificates.
	asked   []string
	headers []http.Header
	clients []string
}

func newConnectProxy(t *testing.T, user string) *connectProxy {
	t.Helper()
	p := &connectProxy{}
	if user != "" {
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// url is the address with a user and a password.
func (p *connectProxy) url(user string) string {
	return strings.Replace(p.URL, "http://", "http://"+user+"@", 1)
}

func (p *connectProxy) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// presentedBy is the common name of the client certificate, empty for none.
func presentedBy(req *http.Request) string {
	if req.TLS == nil || len(req.TLS.PeerCertificates) == 0 {
		return ""
	}
	return req.TLS.PeerCertificates[0].Subject.CommonName
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, req.Method+" "+req.Host)
	p.headers = append(p.headers, req.Header.Clone())
	p.clients = append(p.clients, presentedBy(req))
	p.mu.Unlock()
	if p.auth != "" && req.Header.Get("Proxy-Authorization") != p.auth {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if req.Method != http.MethodConnect {
		(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, req)
		return
	}
	address := req.Host
	if known := p.names[address]; known != "" {
		address = known
	}
	server, err := net.Dial("tcp", address) //nolint:noctx // of no duration
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		return
	}
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		client.Close()
	}
	go func() { _, _ = io.Copy(server, client); server.Close() }()
	go func() { _, _ = io.Copy(client, server); client.Close() }()
}

func (d certsDir) hostsFile(t *testing.T, host, format string, args ...any) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(string(d), host), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(d), host, "hosts.toml"), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProxyOfHostsTOML has a registry, the target of its redirects and a token
// server. Each is reached by the way that its own directory names, with the
// certificates of its own.
func TestProxyOfHostsTOML(t *testing.T) {
	t.Parallel()
	target := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	tokens := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, target.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}
	}})
	one, two := newConnectProxy(t, "jo:h@sh"), newConnectProxy(t, "")
	dir := newCertsDir(t)
	dir.add(t, s.host, "alpha")
	dir.add(t, tokens.host, "beta")
	dir.hostsFile(t, s.host, "proxy = %q\n", one.url("jo:h%40sh"))
	dir.hostsFile(t, tokens.host, "[host.\"https://%s\"]\nproxy = %q\n", tokens.host, two.URL)
	tr := dir.transport(t)
	rt := view(t, tr, s.host, nil)
	for _, tt := range []struct {
		about, url string
		one, two   []string
		server     *tlsServer
		client     string
	}{
		{"the registry", s.URL + "/v2/app/manifests/1", []string{"CONNECT " + s.host}, nil, s, "alpha"},
		{"the target of a redirect has no directory", s.URL + "/v2/app/blobs/sha256:1", nil, nil, target, ""},
		{"a token server with one of its own", tokens.URL + "/token", nil, []string{"CONNECT " + tokens.host}, tokens, "beta"},
	} {
		one.take()
		two.take()
		if status := get(t, rt, tt.url); status != http.StatusOK {
			t.Errorf("%s: %d", tt.about, status)
		}
		if asked := one.take(); !slices.Equal(asked, tt.one) {
			t.Errorf("%s: the registry's proxy was asked for %q", tt.about, asked)
		}
		if asked := two.take(); !slices.Equal(asked, tt.two) {
			t.Errorf("%s: the token server's proxy was asked for %q", tt.about, asked)
		}
		requests := tt.server.takeAll()
		if len(requests) == 0 || requests[len(requests)-1].Client != tt.client {
			t.Errorf("%s: the server saw %+v", tt.about, requests)
		}
		for _, r := range requests {
			if r.Header.Get("Proxy-Authorization") != "" {
				t.Errorf("%s: the server was sent what is for the proxy", tt.about)
			}
		}
	}
	for _, header := range two.headers {
		if header.Get("Proxy-Authorization") != "" {
			t.Error("a proxy was sent the password of another")
		}
	}
}

// TestProxyThatRefuses is told as the proxy's, with where it is configured and
// without user and password; a corrected file counts at once.
func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	p := newConnectProxy(t, "jo:right")
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	dir.add(t, s.host, "alpha", "beta")
	dir.hostsFile(t, s.host, "proxy = %q\n", p.url("jo:hushhush"))
	tr := dir.transport(t)
	ask := func() (string, error) {
		ctx, trail := WithTrail(t.Context())
		_, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, http.MethodHead, s.URL+"/v2/app/manifests/1", ""))
		return fmt.Sprint(trail, err), err
	}
	file := filepath.Join(string(dir), s.host, "hosts.toml")
	text, err := ask()
	var refused *ProxyError
	if !errors.As(err, &refused) || refused.Status != http.StatusProxyAuthRequired || refused.From == nil || refused.From.File != file {
		t.Fatalf("got %v", err)
	}
	if want := "the proxy " + p.URL + " refused the user or the password: correct them in proxy in " + file; !strings.Contains(text, want) || !strings.Contains(refused.Hint(), want) {
		t.Errorf("%s\nlacks %s", text, want)
	}
	if len(s.take()) > 0 {
		t.Error("the registry was asked")
	}
	host, err := tr.hosts().Lookup(s.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{text, refused.Hint(), fmt.Sprintf("%v %+v", host, host), fmt.Sprintf("%+v", *host.Endpoints[0]), fmt.Sprintf("%+v", refused)} {
		if strings.Contains(shown, "hushhush") || strings.Contains(shown, "jo:") || strings.Contains(shown, base64.StdEncoding.EncodeToString([]byte("jo:hushhush"))) {
			t.Errorf("%s\nshows what is secret", shown)
		}
	}

	// What listens there is no proxy, or nothing listens.
	dead := newConnectProxy(t, "")
	dead.Close()
	for _, scheme := range []string{"http", "socks5", "https"} {
		dir.hostsFile(t, s.host, "proxy = %q\n", strings.Replace(dead.url("jo:hushhush"), "http://", scheme+"://", 1))
		text, err := ask()
		if err == nil || !strings.Contains(text, "check that the proxy is running and lets 127.0.0.1 through, or correct proxy in "+file) || !strings.Contains(text, "  proxy: ") || strings.Contains(text, "hushhush") {
			t.Errorf("%s: %s", scheme, text)
		}
	}

	dir.hostsFile(t, s.host, "proxy = %q\n", p.url("jo:right"))
	if text, err := ask(); err != nil {
		t.Error(text)
	}
	p.take()
	dir.hostsFile(t, s.host, "proxy = \"none\"\n")
	if text, err := ask(); err != nil || len(p.take()) > 0 {
		t.Errorf("none: %s", text)
	}
}

// TestProxyThatRefusesPlainHTTP is told as the proxy's, too: with no TLS on the way it
// answers in the registry's place.
func TestProxyThatRefusesPlainHTTP(t *testing.T) {
	t.Parallel()
	p := newConnectProxy(t, "jo:right")
	wants := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the registry was sent what is for the proxy")
		}
		if wants {
			w.WriteHeader(http.StatusProxyAuthRequired)
		}
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	dir := newCertsDir(t)
	ask := func(proxy string) (int, string, error) {
		t.Helper()
		dir.hostsFile(t, host, "server = %q\nproxy = %q\n", s.URL, proxy)
		ctx, trail := WithTrail(t.Context())
		status, err := send(t, view(t, dir.transport(t), host, nil), newRequest(ctx, t, http.MethodHead, s.URL+"/v2/app/manifests/1", ""))
		return status, fmt.Sprint(trail, err), err
	}
	_, text, err := ask(p.url("jo:hushhush"))
	var refused *ProxyError
	if !errors.As(err, &refused) || refused.From == nil || !strings.Contains(text, "proxy: ") || strings.Contains(text, "hushhush") ||
		err.Error() != `Head "`+s.URL+`/v2/app/manifests/1": proxy `+p.URL+" answers 407 Proxy Authentication Required to HEAD "+host {
		t.Errorf("%v\n%s", err, text)
	}
	if asked := p.take(); !slices.Equal(asked, []string{"HEAD " + host}) {
		t.Errorf("asked for %q", asked)
	}
	if status, text, err := ask(p.url("jo:right")); err != nil || status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	// Without a proxy, or behind TLS, it is what the registry says.
	behind := newTLSServer(t, serverOptions{handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}})
	dir.add(t, behind.host)
	dir.hostsFile(t, behind.host, "proxy = %q\n", p.url("jo:right"))
	if status := get(t, view(t, dir.transport(t), behind.host, nil), behind.URL+"/v2/"); status != http.StatusProxyAuthRequired {
		t.Errorf("behind TLS: %d", status)
	}
	wants = true
	if status, text, err := ask("none"); err != nil || status != http.StatusProxyAuthRequired {
		t.Errorf("%d %s", status, text)
	}
}

// TestNoProxyOfDefault: what _default says is for hosts that a person names, not
// for those that a server names.
func TestNoProxyOfDefault(t *testing.T) {
	t.Parallel()
	target := newTLSServer(t, serverOptions{})
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, target.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}})
	p := newConnectProxy(t, "")
	dir := newCertsDir(t)
	dir.add(t, "_default", "alpha")
	dir.hostsFile(t, "_default", "proxy = %q\n", p.URL)
	if status := get(t, view(t, dir.transport(t), s.host, nil), s.URL+"/v2/"); status != http.StatusOK {
		t.Error(status)
	}
	if asked := p.take(); !slices.Equal(asked, []string{"CONNECT " + s.host}) {
		t.Errorf("asked for %q", asked)
	}
}
