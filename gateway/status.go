package gateway

import (
	"net/http"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// serveStatus answers what the gateway uses. It is for whoever may read the metrics.
func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	(&statuspage.Handler{Snapshot: s.status}).ServeHTTP(w, r)
}

// status is what the gateway uses now.
func (s *Server) status() *status.Status {
	d := status.Daemon{
		Kind: status.Gateway, Roots: s.options.Hosts.Roots, Hosts: []*resolver.Hosts{s.options.Hosts},
		Secret: s.secretStatus(), Spool: s.spools.usage(),
	}
	if s.options.Store != nil {
		d.Store = s.options.Store.usage()
	}
	return telemetry.State().Snapshot(d)
}

// secretStatus tells of the secret what is none.
func (s *Server) secretStatus() *status.Secret {
	st := &status.Secret{Open: s.options.AllowAnyLocal}
	if s.options.Secret != nil {
		if at := s.options.Secret.changed(); !at.IsZero() {
			st.Changed = &at
		}
	}
	return st
}

// usage is what shared downloads take.
func (s *spools) usage() *status.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &status.Usage{Used: s.used, Limit: s.limit}
}

// usage is what converted images take, as far as it was looked at: the disk is not
// asked.
func (s *Store) usage() *status.Usage {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	return &status.Usage{Used: s.space.total + s.space.written, Limit: s.limit}
}
