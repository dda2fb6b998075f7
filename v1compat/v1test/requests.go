package v1test

import (
	"io"
	"log"
	"net/http"
	"slices"
)

// Request is an entry of the server's log.
type Request struct {
	Method string
	// URI is path and query as sent.
	URI    string
	Host   string
	Header http.Header
	// Certificate is the common name of the client's certificate, if it showed
	// one.
	Certificate string
}

// Requests returns the requests so far, in order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// URIs are method and URI of the requests so far, as "GET /v1/_ping".
func (s *Server) URIs() []string {
	var list []string
	for _, r := range s.Requests() {
		list = append(list, r.Method+" "+r.URI)
	}
	return list
}

func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := Request{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone()}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			entry.Certificate = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		s.mu.Lock()
		s.requests = append(s.requests, entry)
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// quiet is for net/http, which would print each refused handshake.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
