package gateway

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// tokenHeader carries the secret of clients that can send a header, as containerd's
// hosts.toml can make it. basicUser is the user name for other clients.
const (
	tokenHeader = "X-Certsd-Token" //nolint:gosec // the name of a header
	basicUser   = "certsd"
)

var (
	errSecret = &fault{
		status: http.StatusUnauthorized, code: codeUnauthorized,
		message: "the gateway requires its secret: send it in the header " + tokenHeader + ", or as the password of user " + basicUser,
	}
	errHost = &fault{
		status: http.StatusMisdirectedRequest, code: codeDenied,
		message: "the Host of the request is not a name of this gateway: use a name of the loopback interface, or add it to host_names",
	}
)

// gate decides which clients may enter.
type gate struct {
	secret *sharedSecret
	// open admits every client that can connect.
	open        bool
	stillTrusts func(ctx context.Context, shown []*x509.Certificate) bool
	// names may be in Host in addition to those of the loopback interface.
	names map[string]bool
}

func newGate(o *options) *gate {
	names := map[string]bool{}
	for _, name := range o.Names {
		names[strings.ToLower(name)] = true
	}
	return &gate{secret: o.Secret, open: o.AllowAnyLocal, stillTrusts: o.StillTrusts, names: names}
}

// admit returns an error unless the client may enter.
func (g *gate) admit(r *http.Request) error {
	switch {
	case !g.knowsName(r):
		return errHost
	case g.open, g.hasCertificate(r), g.secret != nil && g.secret.presentedBy(r):
		letIn(connIn(r.Context()))
		return nil
	default:
		return errSecret
	}
}

// hasCertificate reports whether the client presented a certificate of a CA that the
// listener accepts now: a connection may outlive a CA.
func (g *gate) hasCertificate(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	return g.stillTrusts == nil || g.stillTrusts(r.Context(), r.TLS.PeerCertificates)
}

// knowsName reports whether a request is meant for this gateway. A web page whose
// name was made to resolve to this machine sends its own name ("DNS rebinding").
// With TLS the client has checked the name, and no page can connect to a unix
// socket.
func (g *gate) knowsName(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if r.TLS != nil || local != nil && local.Network() == "unix" {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if name == "localhost" || g.names[name] {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && (addr.Unmap().IsLoopback() || local != nil && isAddress(local, addr))
}

// isAddress reports whether addr is the local address of a connection.
func isAddress(local net.Addr, addr netip.Addr) bool {
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == addr.Unmap()
}
