package certsd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// proxyCA signs for proxies alone.
var proxyCA = certtest.NewCA("proxies")

// leaks are the servers of a pull: a registry, a proxy, and one that stands for every
// other host that the registry leads to.
type leaks struct {
	registry, other *tlsServer
	proxy           *connectProxy
	addresses       map[string]string
}

func newLeaks(t *testing.T, overTLS bool) *leaks {
	t.Helper()
	names := []string{"registry.corp.test", "blobs.corp.test", "auth.corp.test", "own.corp.test", "elsewhere.test"}
	l := &leaks{other: newTLSServer(t, serverOptions{auth: tls.RequestClientCert, names: names}), proxy: &connectProxy{auth: "Basic am86czNjcjN0"}}
	l.registry = newTLSServer(t, serverOptions{auth: tls.RequestClientCert, names: names, handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		if name, found := strings.CutPrefix(r.URL.Path, "/to/"); found {
			http.Redirect(w, r, "https://"+name+"/"+name, http.StatusTemporaryRedirect)
		}
	}})
	l.proxy.Server = httptest.NewUnstartedServer(l.proxy)
	if overTLS {
		l.proxy.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{proxyCA.Server("proxy.test").TLS}}
		l.proxy.StartTLS()
	} else {
		l.proxy.Start()
	}
	t.Cleanup(l.proxy.Close)
	l.addresses = map[string]string{"registry.corp.test:443": l.registry.host, "proxy.test:3128": l.proxy.Listener.Addr().String(), "registry.corp.test:8443": l.other.host}
	for _, name := range names[1:] {
		l.addresses[name+":443"] = l.other.host
	}
	l.proxy.names = l.addresses
	return l
}

// connect is a network that knows the names.
func (l *leaks) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	to := l.addresses[addr]
	if to == "" {
		return nil, fmt.Errorf("nobody is at %s", addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// TestWhoGetsWhat has a certificate, a header, a header of the pull and a proxy with a
// password, of each kind of directory. They reach the registry, or the proxy, and
// nobody else.
func TestWhoGetsWhat(t *testing.T) {
	t.Parallel()
	for _, configured := range []string{"registry.corp.test", "_.corp.test", "_default"} {
		for _, way := range []string{"none", "http://jo:s3cr3t@proxy.test:3128", "https://jo:s3cr3t@proxy.test:3128"} {
			scheme, _, _ := strings.Cut(way, "://")
			t.Run(configured+", proxy "+scheme, func(t *testing.T) {
				t.Parallel()
				l := newLeaks(t, scheme == "https")
				dir := newCertsDir(t)
				if err := proxyCA.Write(dir.add(t, configured, "alpha"), "proxy"); err != nil {
					t.Fatal(err)
				}
				dir.add(t, "own.corp.test", "own")
				dir.hostsFile(t, configured, "proxy = %q\n[header]\nX-Secret = \"of-the-directory\"\n", way)
				tr := dir.transport(t)
				tr.Hosts = &Hosts{Roots: hostdir.Roots{string(dir)}, SuffixDirectories: true}
				tr.connect = l.connect
				rt := view(t, tr, "registry.corp.test", http.Header{"X-Pull": {"of-the-pull"}})
				for url, client := range map[string]string{
					"https://registry.corp.test/to/blobs.corp.test":         "",
					"https://registry.corp.test/to/own.corp.test":           "own",
					"https://registry.corp.test/to/registry.corp.test:8443": "",
					"https://registry.corp.test/to/elsewhere.test":          "",
					"https://auth.corp.test/token":                          "",
				} {
					l.asks(t, rt, url, client)
				}
				l.proxyGot(t, scheme)
			})
		}
	}
}

// TestProxyThatCannotBeVerified is told as the proxy's certificate: whatever could be
// done about the registry's would be of no use.
func TestProxyThatCannotBeVerified(t *testing.T) {
	t.Parallel()
	l := newLeaks(t, true)
	dir := newCertsDir(t)
	dir.add(t, "registry.corp.test", "alpha")
	dir.hostsFile(t, "registry.corp.test", "proxy = %q\n", "https://jo:s3cr3t@proxy.test:3128")
	tr := dir.transport(t)
	tr.connect = l.connect
	ctx, trail := WithTrail(t.Context())
	_, err := send(t, view(t, tr, "registry.corp.test", nil), newRequest(ctx, t, http.MethodGet, "https://registry.corp.test/v2/", ""))
	text := fmt.Sprint(trail, err)
	want := "it is the certificate of the proxy that cannot be verified: put its CA's into " + string(dir) + "/registry.corp.test as NAME.crt, or check that the proxy is running and lets registry.corp.test through, or correct proxy in "
	if err == nil || !strings.Contains(text, want) || strings.Contains(text, "s3cr3t") || strings.Contains(text, "fix it at the server") {
		t.Errorf("%s\nlacks %s", text, want)
	}
	if len(l.proxy.take()) > 0 || len(l.registry.take()) > 0 {
		t.Error("it was asked")
	}
}

// asks makes a request that another host is to get in the end.
func (l *leaks) asks(t *testing.T, rt http.RoundTripper, url, client string) {
	t.Helper()
	req := newRequest(t.Context(), t, http.MethodGet, url, "")
	// As the resolver does with each request.
	req.Header = http.Header{"X-Secret": {"of-the-directory"}, "X-Pull": {"of-the-pull"}}
	if status, err := send(t, rt, req); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %v", url, status, err)
	}
	for _, r := range l.registry.takeAll() {
		if r.Client != "alpha" || r.Header.Get("X-Secret") != "of-the-directory" || r.Header.Get("X-Pull") != "of-the-pull" {
			t.Errorf("%s: the registry saw %+v", url, r)
		}
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Errorf("%s: the registry was sent what is for the proxy", url)
		}
	}
	others := l.other.takeAll()
	if len(others) != 1 {
		t.Fatalf("%s: the other host saw %+v", url, others)
	}
	r := others[0]
	if r.Client != client {
		t.Errorf("%s: the other host was shown %q, want %q", url, r.Client, client)
	}
	for _, name := range []string{"X-Secret", "X-Pull", "Proxy-Authorization", "Authorization", "Cookie"} {
		if r.Header.Get(name) != "" {
			t.Errorf("%s: the other host was sent %s", url, name)
		}
	}
}

// proxyGot looks at what the proxy saw: it is asked for the registry alone.
func (l *leaks) proxyGot(t *testing.T, scheme string) {
	t.Helper()
	asked := l.proxy.take()
	if want := scheme != "none"; slices.Contains(asked, "CONNECT registry.corp.test:443") != want {
		t.Errorf("the proxy was asked for %q", asked)
	}
	for _, line := range asked {
		if line != "CONNECT registry.corp.test:443" {
			t.Errorf("the proxy was asked for %q", asked)
		}
	}
	for i, header := range l.proxy.headers {
		if header.Get("X-Secret") != "" || header.Get("X-Pull") != "" || header.Get("Proxy-Authorization") == "" {
			t.Errorf("the proxy was sent %v", header)
		}
		if l.proxy.clients[i] != "" {
			t.Errorf("the proxy was shown the certificate of %s", l.proxy.clients[i])
		}
	}
}
