package gateway

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/certsd/containerd-certsd/internal/statuspage"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// pages serves what is not part of the registry API: health, metrics and status.
type pages struct {
	gate   *gate
	hosts  *resolver.Hosts
	store  *imageStore
	spools *spools
	// stopping reports whether the gateway is being stopped.
	stopping func() bool
}

// serve answers requests outside the registry API, and reports whether it did. Every
// client may ask for health, which reveals nothing. Metrics name registries and
// certificates, so they are for this machine and clients with the secret.
func (p *pages) serve(w http.ResponseWriter, r *http.Request) (done bool) {
	switch {
	case r.URL.Path == "/healthz", r.URL.Path == "/readyz", r.URL.Path == "/metrics", statuspage.Serves(r.URL.Path):
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			writeFault(w, r, errMethod)
			return true
		}
	}
	switch path := r.URL.Path; {
	case path == "/healthz":
		_ = writeJSON(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	case path == "/readyz":
		if p.stopping() {
			_ = writeJSON(w, r, http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte("stopping\n"))
			break
		}
		_ = writeJSON(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ready\n"))
	case path == "/metrics":
		if p.mayWatch(w, r) {
			telemetry.Handler().ServeHTTP(w, r)
		}
	case statuspage.Serves(path):
		if p.mayWatch(w, r) {
			p.serveStatus(w, r)
		}
	default:
		return false
	}
	return true
}

// mayWatch reports whether a client may read pages that name registries and
// certificates; if not, it answers the request.
func (p *pages) mayWatch(w http.ResponseWriter, r *http.Request) bool {
	if !p.gate.knowsName(r) {
		writeFault(w, r, errHost)
		return false
	}
	if !fromHere(r) && p.gate.admit(r) != nil {
		writeFault(w, r, errSecret)
		return false
	}
	return true
}

// fromHere reports whether a client is on this machine.
func fromHere(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}
