// Package gateway serves the pull side of the OCI distribution API on behalf of
// registries that its clients cannot reach themselves: those that want a client
// certificate, speak only Registry v1 or serve schema 1 manifests. It is one
// local endpoint over the same resolver that containerd gets by the plugin.
//
// A request says which registry it is for by containerd's "?ns=HOST", or by
// the first element of the path: /v2/HOST/REPOSITORY/manifests/TAG.
package gateway

import (
	"net/http"
	"sync"

	"github.com/certsd/containerd-certsd/resolver"
)

// Options are what a [Server] is made of. Only Hosts, and one of Secret and
// AllowAnyLocal, must be set.
type Options struct {
	// Hosts are the registries: the same that pulls use.
	Hosts *resolver.Hosts
	// Credentials returns user and secret for a registry's host[:port]; without
	// a user the secret is a refresh token. nil means anonymous. What a client
	// sends in Authorization is for the gateway and never reaches a registry.
	Credentials func(host string) (user, secret string, err error)
	// Secret lets clients in. nil lets in nobody, or everybody if AllowAnyLocal.
	Secret *Secret
	// AllowAnyLocal lets in every client that can connect.
	AllowAnyLocal bool
	// Upstreams are registries, host[:port], that may be asked without a
	// directory of their own. Others without one are refused.
	Upstreams []string
}

// Server is an http.Handler. It is safe for concurrent use; see [New].
type Server struct {
	options   Options
	upstreams map[string]bool

	// mu guards resolvers.
	mu        sync.Mutex
	resolvers map[string]*cachedResolver
}

var _ http.Handler = (*Server)(nil)

// New makes a Server. An error is about the options.
func New(o Options) (*Server, error) {
	upstreams, err := canonicalSet(o.Upstreams)
	if err != nil {
		return nil, err
	}
	return &Server{options: o, upstreams: upstreams, resolvers: map[string]*cachedResolver{}}, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.serve(w, r); err != nil {
		writeFault(w, r, faultOf(err))
	}
}

// serve answers a request, or returns an error before anything was written.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if err := s.admit(r); err != nil {
		return err
	}
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	t, err := parseTarget(r.URL)
	if err != nil {
		return err
	}
	if t.kind == kindBase {
		return serveBase(w, r)
	}
	if err := s.mayAsk(t.host); err != nil {
		return err
	}
	switch t.kind {
	case kindManifest:
		return s.serveManifest(w, r, t)
	case kindBlob:
		return s.serveBlob(w, r, t)
	default:
		return errUnknownPath
	}
}

// serveBase tells clients that this is a v2 registry and that they are let in.
func serveBase(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, r, http.StatusOK, "application/json", []byte("{}\n"))
}
