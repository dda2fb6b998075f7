package gateway

import (
	"net/http"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// serveStatus reports what the gateway uses, to clients that may read the metrics.
func (p *pages) serveStatus(w http.ResponseWriter, r *http.Request) {
	(&statuspage.Handler{Snapshot: p.status}).ServeHTTP(w, r)
}

// status returns what the gateway uses now.
func (p *pages) status() *status.Status {
	d := status.Daemon{
		Kind: status.Gateway, Roots: p.hosts.Roots, Hosts: []*resolver.Hosts{p.hosts},
		Secret: p.gate.status(), Spool: p.spools.usage(),
	}
	if p.store != nil {
		d.Store = p.store.room.usage()
	}
	return telemetry.State().Snapshot(d)
}

// status describes the secret without revealing it.
func (g *gate) status() *status.Secret {
	st := &status.Secret{Open: g.open}
	if g.secret != nil {
		if at := g.secret.changed(); !at.IsZero() {
			st.Changed = &at
		}
	}
	return st
}

// usage returns the size of shared downloads.
func (s *spools) usage() *status.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &status.Usage{Used: s.used, Limit: s.limit}
}

// usage returns the last known size of converted images, without accessing the disk.
func (r *room) usage() *status.Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &status.Usage{Used: r.total + r.written, Limit: r.limit}
}
