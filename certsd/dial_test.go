package certsd

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

func TestTransportIsContainerdsOwn(t *testing.T) {
	t.Parallel()
	tr := newHTTPTransport(target{Endpoint: &Endpoint{DialTimeout: time.Minute}}, nil)
	if tr.ForceAttemptHTTP2 || tr.DisableCompression || tr.DisableKeepAlives || tr.TLSClientConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("got %+v", tr)
	}
	s := newTLSServer(t, serverOptions{tls: func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	resp, err := view(t, dir.transport(t), s.host, nil).RoundTrip(newRequest(t.Context(), t, "GET", s.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Proto != "HTTP/1.1" || resp.TLS == nil {
		t.Errorf("protocol %s, TLS %v", resp.Proto, resp.TLS)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, maxVersion: tls.VersionTLS11, tls: func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS10
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	if _, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, "GET", s.URL, "")); err == nil {
		t.Error("no error")
	}
	if s.conns != 1 {
		t.Errorf("%d connections, want 1: it is not about the certificate", s.conns)
	}
}

// Through a proxy the server is the one that gets the certificate, and a proxy
// that asks for one gets none.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
			asked := 0
			proxied := httptest.NewUnstartedServer(httpProxy(t))
			if scheme == "https" {
				proxied.TLS = &tls.Config{
					Certificates: []tls.Certificate{serverCA.Server("127.0.0.1").TLS},
					ClientAuth:   tls.RequestClientCert,
					VerifyConnection: func(state tls.ConnectionState) error {
						asked++
						if len(state.PeerCertificates) > 0 {
							t.Error("the proxy got a certificate")
						}
						return nil
					},
				}
				proxied.StartTLS()
			} else {
				proxied.Start()
			}
			t.Cleanup(proxied.Close)
			dir := newCertsDir(t)
			dir.add(t, s.host, "a")
			tr := dir.transport(t)
			through(t, tr, s.host, proxied)
			var handshakes []string
			tr.Hooks.OnHandshake = func(h Handshake) { handshakes = append(handshakes, h.Host+" "+h.Identity) }
			get(t, view(t, tr, s.host, nil), s.URL+"/v2/")
			if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if scheme == "https" && asked != 1 {
				t.Errorf("the proxy was connected to %d times", asked)
			}
			if diff := cmp.Diff([]string{s.host + " a.cert"}, handshakes); diff != "" {
				t.Errorf("handshakes (-want +got):\n%s", diff)
			}
		})
	}
}

// through makes the requests to a registry with its first identity go through a
// proxy. The environment's are not used for loopback addresses.
func through(t *testing.T, tr *Transport, registry string, proxy *httptest.Server) {
	t.Helper()
	host, err := tr.hosts().Lookup(registry)
	if err != nil {
		t.Fatal(err)
	}
	via, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	to := tr.target(host.Endpoints[0])
	to.state.connections(*to, to.Identities[0]).Proxy = func(req *http.Request) (*url.URL, error) {
		exchangeOf(req.Context()).proxy.Store(via)
		return via, nil
	}
}

// A directory's CA roots are not all that a proxy may be verified against: it
// is not the registry.
func TestProxyOfTheSystemsRoots(t *testing.T) {
	systemCA := certtest.NewCA("the system's")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, systemCA.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", bundle)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	proxied := httptest.NewUnstartedServer(httpProxy(t))
	proxied.TLS = &tls.Config{Certificates: []tls.Certificate{systemCA.Server("127.0.0.1").TLS}}
	proxied.StartTLS()
	t.Cleanup(proxied.Close)
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a")
	tr := dir.transport(t)
	through(t, tr, s.host, proxied)
	get(t, view(t, tr, s.host, nil), s.URL+"/v2/")
	if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// net/http finishes a connection whose request was served by another one that
// became free: what the server asked on it belongs to it, and not to the other.
func TestLeftOverConnection(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	handshaking, shake := make(chan struct{}, 2), make(chan struct{})
	hold := func(http.ResponseWriter, *http.Request, string) { arrived <- struct{}{}; <-answer }
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: hold, tls: func(c *tls.Config) {
		c.SessionTicketsDisabled = true
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			handshaking <- struct{}{}
			<-shake
			return nil, nil
		}
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a")
	tr := dir.transport(t)
	handshakes := make(chan struct{}, 2)
	tr.Hooks.OnHandshake = func(Handshake) { handshakes <- struct{}{} }
	rt := view(t, tr, s.host, nil)
	begin := func() <-chan Attempt {
		done := make(chan Attempt, 1)
		go func() {
			ctx, trail := WithTrail(t.Context())
			_, err := send(t, rt, newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/blobs/1", ""))
			if attempts := trail.Attempts(); err == nil && len(attempts) == 1 {
				done <- attempts[0]
			}
			close(done)
		}()
		return done
	}
	check := func(a Attempt) {
		t.Helper()
		if a.Status != http.StatusOK || !a.Asked || !a.Offered || a.Resumed {
			t.Errorf("%+v", a)
		}
	}
	first := begin()
	<-handshaking
	shake <- struct{}{}
	<-handshakes
	<-arrived
	second := begin()
	<-handshaking
	answer <- struct{}{}
	check(<-first)
	<-arrived // on the connection of the first
	answer <- struct{}{}
	check(<-second)
	close(shake) // the one left over goes on
	<-handshakes
	third, fourth := begin(), begin()
	<-arrived
	<-arrived
	close(answer)
	check(<-third)
	check(<-fourth)
}

// Requests that are all in work at one time have a connection each, also where
// there were fewer before.
func TestConnectionsHaveNoLimit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 10} {
		var all sync.WaitGroup
		s := newTLSServer(t, serverOptions{handle: func(_ http.ResponseWriter, r *http.Request, _ string) {
			if r.URL.Path == "/v2/" {
				return
			}
			all.Done()
			all.Wait()
		}})
		dir := newCertsDir(t)
		dir.add(t, s.host, "client")
		rt := view(t, dir.transport(t), s.host, nil)
		get(t, rt, s.URL+"/v2/")
		for range 2 {
			all.Add(n)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() { get(t, rt, s.URL+"/v2/app/manifests/1") })
			}
			wg.Wait()
			n += 2
		}
		if got := len(s.shaken()); got < n-2 {
			t.Errorf("%d handshakes for %d requests at a time", got, n-2)
		}
	}
}

// A dial that is refused is the error of the request that it was made for, and
// those that counted on it make their own.
func TestConnectionsThatFail(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{tls: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }})
	dir := newCertsDir(t)
	dir.add(t, s.host, "client")
	tr := dir.transport(t)
	rt := view(t, tr, s.host, nil)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := send(t, rt, newRequest(t.Context(), t, "GET", s.URL+"/v2/", "")); err == nil {
				t.Error("no error")
			}
		})
	}
	wg.Wait()
}
