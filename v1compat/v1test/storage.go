package v1test

import (
	"crypto/tls"
	"net/http"
	"strings"
)

// NewStorage starts the object store that a registry with Quirks.Redirect
// sends its clients to. Like the real ones it serves {id}/{what} to anybody
// but refuses, with 403, a request that carries credentials it did not issue.
// It has its own images: give it the registry's with [Server.Take]. A nil
// config is plain HTTP.
func NewStorage(config *tls.Config) *Server {
	s := New(Options{TLS: config, Quirks: Quirks{Size: SizeAbsent}, Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Authorization", "Cookie", "X-Docker-Token"} {
				if r.Header.Get(name) != "" {
					http.Error(w, "Only one auth mechanism allowed", http.StatusForbidden)
					return
				}
			}
			next.ServeHTTP(w, withPath(r, "/v1/images"+r.URL.Path))
		})
	}})
	return s
}

// Take adds images as [Build] and [Server.Add] make them, without a tag.
func (s *Server) Take(images ...*Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, img := range images {
		s.images[img.ID] = img
	}
}

func withPath(r *http.Request, path string) *http.Request {
	r2 := r.Clone(r.Context())
	r2.URL.Path = strings.TrimSuffix(path, "/")
	r2.URL.RawPath = ""
	return r2
}
