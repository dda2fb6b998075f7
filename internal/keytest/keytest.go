// Package keytest provides a server that requires client certificates, and its
// directory, for tests of keys outside files.
package keytest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// Server is a server that requires a client certificate for each connection, and a
// transport that presents those in its directory.
type Server struct {
	*certsd.Transport
	// Dir is the server's directory, which holds its CA.
	Dir string
	// URL is the server's URL.
	URL string
	// Clients is the CA of the certificates that the server accepts.
	Clients *certtest.CA
	// Handshakes counts the successful ones.
	Handshakes atomic.Int32

	resume atomic.Bool

	mu      sync.Mutex
	accepts string
	seen    []string
}

// NewServer starts a server that runs until the test ends. It adds the root of its
// directory to hosts.
func NewServer(t testing.TB, hosts *certsd.Hosts) *Server {
	t.Helper()
	servers, root := certtest.NewCA("servers"), t.TempDir()
	s := &Server{Clients: certtest.NewCA("clients")}
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true, // each connection needs a signature
		ClientAuth:             tls.RequireAndVerifyClientCert, ClientCAs: s.Clients.Pool(), Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		VerifyConnection: func(tls.ConnectionState) error { s.Handshakes.Add(1); return nil },
	}
	resuming := server.TLS.Clone()
	resuming.SessionTicketsDisabled = false
	resuming.SetSessionTicketKeys([][32]byte{{1}})
	server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if s.resume.Load() {
			return resuming, nil
		}
		return nil, nil
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.URL = server.URL
	s.Dir = filepath.Join(root, strings.TrimPrefix(server.URL, "https://"))
	if err := errors.Join(os.Mkdir(s.Dir, 0o700), servers.Write(s.Dir, "ca")); err != nil {
		t.Fatal(err)
	}
	hosts.Roots = append(hosts.Roots, root)
	s.Transport = &certsd.Transport{Hosts: hosts}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

// Resume lets connections resume an earlier session, as servers do by default: they
// need no signature.
func (s *Server) Resume() { s.resume.Store(true) }

// Pulls makes the requests of two pulls, each of several layers at a time, and fails
// unless the first takes one signature and the second none. signatures returns how many
// the device has made.
func (s *Server) Pulls(t testing.TB, signatures func() int) {
	t.Helper()
	for pull, want := range []int{1, 0} {
		before := signatures()
		get := func(path string) error {
			status, err := s.Get(t, path)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%s: %d", path, status)
			}
			return err
		}
		if err := errors.Join(get("/v2/app/manifests/1"), get("/v2/app/blobs/config")); err != nil {
			t.Fatal(err)
		}
		var layers sync.WaitGroup
		for worker := range 3 {
			layers.Go(func() {
				for i := range 3 {
					if err := get(fmt.Sprintf("/v2/app/blobs/%d%d", worker, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		layers.Wait()
		if n := signatures() - before; n != want {
			t.Errorf("pull %d: %d signatures, want %d", pull+1, n, want)
		}
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := r.TLS.PeerCertificates[0].Subject.CommonName
	s.seen = append(s.seen, client)
	if s.accepts != "" && client != s.accepts {
		w.WriteHeader(http.StatusForbidden)
	}
}

// Accept makes the server answer 403 to all clients but the one with this common name.
func (s *Server) Accept(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepts = client
}

// Seen returns the common names of the clients of all requests, in order.
func (s *Server) Seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Write writes a file to the directory.
func (s *Server) Write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Get requests a path and returns the status.
func (s *Server) Get(t testing.TB, path string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}

// Identity returns the first client certificate of the directory.
func (s *Server) Identity(t testing.TB) *certsd.Identity {
	t.Helper()
	host, err := s.Hosts.Lookup(filepath.Base(s.Dir))
	if err != nil {
		t.Fatal(err)
	}
	return host.Endpoints[0].Identities[0]
}
