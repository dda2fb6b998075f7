// Package v1test is a registry of the Docker Registry HTTP API v1 for tests
// and demonstrations. It serves images described by a few lines, imitates the
// habits of the servers that spoke the protocol, fails when told to, and keeps
// a log of what it was asked.
//
//	srv := v1test.New(v1test.Options{Quirks: v1test.Python09()})
//	defer srv.Close()
//	img := srv.Add("library/busybox", "latest", v1test.Layer{Data: layer})
//	srv.Fail(v1test.Failure{Path: regexp.MustCompile(`/layer$`), CutAfter: 100})
//
// Read v1test.go first, then serve.go and layers.go, which answer requests, and
// quirks.go, which says how answers differ from server to server. image.go makes
// images, failures.go makes requests fail, requests.go is the log.
package v1test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Options describe a server. The zero value is a plain HTTP registry without
// quirks on a free port of 127.0.0.1.
type Options struct {
	// Quirks are the server's habits.
	Quirks Quirks
	// TLS makes it an https server with this configuration, which must have a
	// certificate. Nil is plain HTTP.
	TLS *tls.Config
	// Listener replaces one on a free port of 127.0.0.1.
	Listener net.Listener
	// Wrap, if set, goes around the registry: to ask for a client certificate,
	// say. Requests it answers itself are logged, too.
	Wrap func(http.Handler) http.Handler
}

// Server is a running registry. Its methods may be used concurrently.
type Server struct {
	// URL is scheme://host:port, Host is host:port.
	URL, Host string

	quirks Quirks
	http   *httptest.Server

	mu sync.Mutex // guards the rest
	// repositories hold tags by repository name, images are by id.
	repositories map[string]map[string]string
	images       map[string]*Image
	failures     []*Failure
	requests     []Request
}

// New starts a server. It panics where httptest does: if it cannot listen.
func New(o Options) *Server {
	s := &Server{
		quirks:       o.Quirks,
		repositories: map[string]map[string]string{},
		images:       map[string]*Image{},
	}
	handler := http.Handler(http.HandlerFunc(protocol{s}.serve))
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	s.http = httptest.NewUnstartedServer(s.logged(s.failing(handler)))
	s.http.Config.ErrorLog = quiet()
	if o.Listener != nil {
		_ = s.http.Listener.Close()
		s.http.Listener = o.Listener
	}
	if o.TLS != nil {
		s.http.TLS = o.TLS
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	s.URL = s.http.URL
	_, s.Host, _ = strings.Cut(s.URL, "://")
	return s
}

// Close stops the server and ends its connections, those of waiting failures
// included.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}
