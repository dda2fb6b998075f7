package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// tokenHeader carries the secret of clients that can send a header, as
// containerd can by its hosts.toml. basicUser is the user of the others.
const (
	tokenHeader = "X-Certsd-Token" //nolint:gosec // the name of a header
	basicUser   = "certsd"
)

var (
	errSecret = &fault{
		status: http.StatusUnauthorized, code: codeUnauthorized,
		message: "the gateway wants its secret: as header " + tokenHeader + ", or as the password of user " + basicUser,
	}
	errHost = &fault{
		status: http.StatusMisdirectedRequest, code: codeDenied,
		message: "the gateway goes by the names of the loopback interface: others are for its host_names",
	}
)

// admit lets a client in or not.
func (s *Server) admit(r *http.Request) error {
	switch {
	case !s.knowsName(r):
		return errHost
	case s.options.AllowAnyLocal, s.hasCertificate(r), s.options.Secret != nil && s.options.Secret.presentedBy(r):
		letIn(connIn(r.Context()))
		return nil
	default:
		return errSecret
	}
}

// hasCertificate reports whether the client has shown a certificate of those CAs
// that the listener lets in. A connection lives longer than a CA may.
func (s *Server) hasCertificate(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	return s.options.StillTrusts == nil || s.options.StillTrusts(r.Context(), r.TLS.PeerCertificates)
}

// knowsName reports whether a request is meant for this gateway. A page in a
// browser whose name was made to point to this machine says its own name
// ("DNS rebinding"). With TLS the client has checked the name, and no page can
// connect to a unix socket.
func (s *Server) knowsName(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if r.TLS != nil || local != nil && local.Network() == "unix" {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if name == "localhost" || s.names[name] {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && (addr.Unmap().IsLoopback() || local != nil && isAddress(local, addr))
}

// isAddress reports whether a connection was made to an address.
func isAddress(local net.Addr, addr netip.Addr) bool {
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == addr.Unmap()
}
