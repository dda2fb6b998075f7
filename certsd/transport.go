package certsd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/certsd/containerd-certsd/certsd/trail"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Transport is an http.RoundTripper that reads certs.d directories: it
// verifies each server against the CA roots of the directory named after it and
// presents the client certificates found there, one after another, until one is
// accepted. Its zero value is ready and searches [DefaultRoots]:
//
//	client := &http.Client{Transport: &certsd.Transport{}}
//
// The host of each single request determines its TLS settings. Certificates, headers
// configured for a host, and on a redirect Authorization and cookies never reach
// another scheme, host or port.
//
// Use one Transport for all requests: it keeps connections, one set per certificate,
// and remembers which certificate was accepted for which repository. It may be used
// concurrently; its fields must not be changed after the first request.
//
// Contrary to the advice of http.RoundTripper it interprets responses: only the
// answer shows which certificate a server accepts.
type Transport struct {
	// Hosts finds the directories. nil means one that searches DefaultRoots and is
	// shared by all Transports with nil Hosts.
	Hosts *Hosts
	// Registry is the registry that a reference names, host or host:port. Requests to
	// it, and to the endpoints in its hosts.toml, use the settings there, including
	// those of a _default directory. All other hosts, or all hosts if Registry is
	// empty, use the directory of their own name, and without one the system's CA roots
	// and those of Registry.
	Registry string
	// RotateOn are the statuses after which the next certificate is presented,
	// unless the host's directory says otherwise.
	RotateOn RotateOn
	// RefuseStranger, if set, is called before a connection is made to an address of a
	// host that only a server named: the target of a redirect, a token server, an
	// endpoint of Registry v1. If it returns an error, the connection is not made. It
	// is not called if a proxy makes the connection.
	RefuseStranger func(host string, addr netip.AddrPort) error
	// Hooks observe what happens.
	Hooks Hooks

	// connect replaces the network in tests.
	connect func(ctx context.Context, network, address string) (net.Conn, error)

	// bare holds the connections to unconfigured hosts, states those to endpoints.
	bare   endpointState
	states states
	// tls remembers the hosts for which plain HTTP must not be used.
	tls tlsMemory
}

var defaultHosts Hosts

func (t *Transport) hosts() *Hosts {
	if t.Hosts == nil {
		return &defaultHosts
	}
	return t.Hosts
}

// RoundTrip makes one request, and repeats it with the next certificate while the
// answer calls for one. If no certificate is accepted it returns the last answer, as
// Docker did.
//
// A request with a body is repeated only if it has GetBody. A failed verification is a
// *[VerificationError], refused certificates are a *[RefusedError], and refused plain
// HTTP is a *[PlainHTTPError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(nil, req)
}

func (t *Transport) roundTrip(b *EndpointTransport, req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		closeBody(req)
		return nil, errors.New("certsd: request without URL")
	}
	r, err := router{t}.route(b, req)
	if err != nil {
		closeBody(req)
		notMade(r, req, err)
		return nil, err
	}
	return t.rotate(r, req)
}

// notMade records a request that was not made: the caller may ask other servers
// instead, and their answers must not hide the reason.
func notMade(r *route, req *http.Request, err error) {
	a := Attempt{Registry: req.URL.Host, Host: req.URL.Host, URL: safetext.URL(req.URL), Method: req.Method, Err: err}
	if r != nil {
		a.Registry, a.Dir = r.registry, r.to.Dir
	}
	if t := trail.Of(req.Context()); t != nil {
		t.Record(a)
	}
}

// closeBody closes the body of a request that no transport gets, as http.RoundTripper
// requires: "RoundTrip must always close the body, including on errors".
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// CloseIdleConnections closes the connections that are not in use. The
// Transport stays usable.
func (t *Transport) CloseIdleConnections() {
	t.states.closeIdle()
	t.bare.closeIdle()
}

func (t *Transport) warn(err error) {
	if t.Hooks.OnWarning != nil {
		t.Hooks.OnWarning(err)
	}
}
