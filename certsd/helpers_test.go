package certsd

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd/trail"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// clientCA signs the client certificates of the transport's tests, serverCA the
// certificates of the servers.
var (
	clientCA = certtest.NewCA("transport clients")
	serverCA = certtest.NewCA("transport servers")
)

// request is what a server saw.
type request struct {
	Method, Path string
	// Client is the common name of the client certificate.
	Client string
	Header http.Header
	Body   string
}

// tlsServer is a registry behind TLS that keeps account of its requests.
type tlsServer struct {
	*httptest.Server
	// host is its host:port.
	host string

	mu         sync.Mutex
	requests   []request
	conns      int
	closed     chan struct{} // an element for each connection that ended
	handshakes []string      // names presented, "-" for none
}

// serverOptions describe a tlsServer.
type serverOptions struct {
	auth       tls.ClientAuthType
	maxVersion uint16
	// refuse makes the handshake fail for a client.
	refuse func(client string) error
	// handle answers; nil is 200 for everybody.
	handle func(w http.ResponseWriter, r *http.Request, client string)
	// names are those of the certificate, 127.0.0.1 if there are none.
	names []string
	// tls changes the configuration at last.
	tls func(*tls.Config)
}

func newTLSServer(t *testing.T, o serverOptions) *tlsServer {
	t.Helper()
	s := &tlsServer{closed: make(chan struct{}, 1024)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		client := ""
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		s.mu.Lock()
		s.requests = append(s.requests, request{r.Method, r.URL.Path, client, r.Header.Clone(), string(body)})
		s.mu.Unlock()
		if o.handle != nil {
			o.handle(w, r, client)
		}
	}))
	names := append([]string{"127.0.0.1"}, o.names...)
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{serverCA.Server(names...).TLS},
		ClientAuth:   o.auth, ClientCAs: clientCA.Pool(), MaxVersion: o.maxVersion,
		VerifyConnection: func(state tls.ConnectionState) error {
			client := ""
			if len(state.PeerCertificates) > 0 {
				client = state.PeerCertificates[0].Subject.CommonName
			}
			s.mu.Lock()
			s.handshakes = append(s.handshakes, client)
			s.mu.Unlock()
			if o.refuse != nil {
				return o.refuse(client)
			}
			return nil
		},
	}
	if o.tls != nil {
		o.tls(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
		case http.StateClosed:
			s.closed <- struct{}{}
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "https://")
	return s
}

// take returns what was requested since the last call, in short:
// METHOD PATH CLIENT.
func (s *tlsServer) take() []string {
	var lines []string
	for _, r := range s.takeAll() {
		lines = append(lines, strings.TrimSpace(r.Method+" "+r.Path+" "+r.Client))
	}
	return lines
}

func (s *tlsServer) takeAll() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

// clients returns the clients of the requests since the last call.
func (s *tlsServer) clients() []string {
	var clients []string
	for _, r := range s.takeAll() {
		clients = append(clients, r.Client)
	}
	return clients
}

// shaken returns the clients of the handshakes since the last call.
func (s *tlsServer) shaken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	handshakes := s.handshakes
	s.handshakes = nil
	return handshakes
}

// waitClosed waits until n connections have ended, for less time than idle ones
// are kept.
func (s *tlsServer) waitClosed(t *testing.T, n int) {
	t.Helper()
	late := time.After(idleTimeout / 2)
	for range n {
		select {
		case <-s.closed:
		case <-late:
			t.Fatal("a connection is kept")
		}
	}
}

// allow answers 200 to some clients and status to the others.
func allow(status int, clients ...string) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, client string) {
		if !slices.Contains(clients, client) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"not for `+client+`"}]}`)
		}
	}
}

// certsDir is a root of host directories.
type certsDir string

func newCertsDir(t *testing.T) certsDir {
	t.Helper()
	return certsDir(t.TempDir())
}

// pairs are certificates issued once for all tests.
var pairs struct {
	sync.Mutex
	byName map[string]*certtest.Pair
}

func pairOf(name string) *certtest.Pair {
	pairs.Lock()
	defer pairs.Unlock()
	if pairs.byName == nil {
		pairs.byName = map[string]*certtest.Pair{}
	}
	if pairs.byName[name] == nil {
		pairs.byName[name] = clientCA.Client(name)
	}
	return pairs.byName[name]
}

// add makes the directory of a host with the server's CA and a pair for each
// name, whose common name is that name, too.
func (d certsDir) add(t *testing.T, host string, clients ...string) string {
	t.Helper()
	dir := filepath.Join(string(d), host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := serverCA.Write(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	for _, client := range clients {
		if err := pairOf(client).Write(dir, client); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (d certsDir) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(string(d), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// transport returns a transport over the root.
func (d certsDir) transport(t *testing.T) *Transport {
	t.Helper()
	tr := &Transport{Hosts: &Hosts{Roots: Roots{string(d)}}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// view returns the view for the last endpoint of a registry.
func view(t *testing.T, tr *Transport, registry string, scoped http.Header) *EndpointTransport {
	t.Helper()
	host, err := tr.hosts().Lookup(registry)
	if err != nil {
		t.Fatal(err)
	}
	return tr.ForEndpoint(registry, host.Endpoints[len(host.Endpoints)-1], scoped)
}

// send makes a request and returns the status, or the error.
func send(t *testing.T, rt http.RoundTripper, req *http.Request) (int, error) {
	t.Helper()
	client := &http.Client{Transport: rt}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func newRequest(ctx context.Context, t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// get makes a GET that must be answered.
func get(t *testing.T, rt http.RoundTripper, url string) int {
	t.Helper()
	status, err := send(t, rt, newRequest(t.Context(), t, http.MethodGet, url, ""))
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// faultsOf are what a trail tells to be wrong on this machine.
func faultsOf(tried *Trail) []*Problem { return trail.Faults(tried.Attempts()) }
