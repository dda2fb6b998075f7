package certsd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Transport is an http.RoundTripper that reads certs.d directories: it
// verifies each server against the CA roots of the directory named after it and
// presents the client certificates found there, one after another, until one is
// accepted. Its zero value is ready and searches [DefaultRoots]:
//
//	client := &http.Client{Transport: &certsd.Transport{}}
//
// The TLS settings are those of the host of each single request. A certificate,
// a header configured for a host, and on a redirect Authorization and cookies,
// never reach another scheme, host or port.
//
// One Transport should be used for all requests: it keeps connections, one set
// for each certificate, and knows which certificate was accepted for which
// repository. It may be used concurrently; its fields must not be changed after
// the first request.
//
// Against the advice of http.RoundTripper it interprets responses: which
// certificate a server wants is only seen by its answer.
type Transport struct {
	// Hosts finds the directories. nil is one that searches DefaultRoots,
	// shared by all Transports that leave it out.
	Hosts *Hosts
	// Registry is the registry a reference names, host or host:port. Requests
	// to it, and to the endpoints its hosts.toml names, get the settings given
	// there, those of a _default directory included. Every other host, and all
	// if Registry is empty, gets what the directory of its own name says, and
	// without such a directory the system's CA roots and those of Registry.
	Registry string
	// RotateOn are the statuses that make the next certificate be presented,
	// unless the host's directory says otherwise.
	RotateOn RotateOn
	// RefuseStranger, if set, is asked before a connection is made to an address
	// of a host that no configuration names, but a server: the target of a
	// redirect, a token server, an endpoint of Registry v1. An error keeps it from
	// being made. It is not asked where a proxy makes the connection.
	RefuseStranger func(host string, addr netip.AddrPort) error
	// Hooks observe what happens.
	Hooks Hooks

	// bare has the connections to hosts for which nothing is configured.
	bare endpointState

	// mu guards states: those with connections, for CloseIdleConnections.
	mu     sync.Mutex
	states map[*endpointState]struct{}
}

// Hooks observe a [Transport]. Nil functions are not called; the others may be
// called concurrently, and from requests and handshakes, so they should return
// soon.
type Hooks struct {
	// OnAttempt is called when an identity was presented and something came
	// back, and for each identity that was passed over.
	OnAttempt func(Attempt)
	// OnRotate is called before the next identity is presented.
	OnRotate func(Rotation)
	// OnRound is called when all of a request's attempts have been made, with
	// the request's context.
	OnRound func(context.Context, Round)
	// OnHandshake is called after each TLS handshake that the client completed.
	// With TLS 1.3 a server may still refuse the certificate then.
	OnHandshake func(Handshake)
	// OnWarning is called with problems that do not make a request fail: a
	// *[PassedOverError] once for each certificate.
	OnWarning func(error)
}

// Rotation is a step from one identity to the next.
type Rotation struct {
	// Host is the host[:port] of the request.
	Host string
	// From and To are the names of the identities.
	From, To string
	// Reason is what came back for From, in one of a few words: a status such
	// as "403", "alert 42", "connection cut".
	Reason string
}

// Round is one request, with the identities presented for it one after
// another.
type Round struct {
	// Registry is the registry on whose behalf the request was made, Host the
	// host[:port] it went to. Repository is the repository it was about, empty
	// for none.
	Registry, Host, Repository string
	// Start is when it began.
	Start time.Time
	// Attempts are the identities, in order, those passed over included. What
	// came back for the last one is what came back for the request. There is at
	// least one.
	Attempts []Attempt
	// Learnt tells that the last identity was not refused and will be presented
	// first for the repository from now on, in the place of another or none.
	Learnt bool
	// Downgrade says in what the request trusted more than was configured.
	Downgrade Downgrade
}

// Downgrade is a set of ways to trust a server for more reasons than its
// directory's CA roots, or for none.
type Downgrade uint8

const (
	// SkippedVerify is that the server's certificate was not verified, because a
	// hosts.toml says so.
	SkippedVerify Downgrade = 1 << iota
	// UnverifiedLocalhost is that it was not, because the server is on this machine
	// and nothing is configured for it.
	UnverifiedLocalhost
	// AppendedSystemRoots is that the system's CA roots count beside the configured
	// ones.
	AppendedSystemRoots
	// SpokePlainHTTP is that plain HTTP was spoken, and no hosts.toml gives an http://
	// address that allows nothing else.
	SpokePlainHTTP
)

// Has tells whether all of some are in the set.
func (d Downgrade) Has(some Downgrade) bool { return d&some == some }

// PassedOverError tells that a certificate is not presented while another one
// is left, because it has expired or is not yet valid.
type PassedOverError struct {
	// Host is the host[:port], Identity the name of the identity, File its file.
	Host, Identity, File string
	// Reason says what is wrong with it.
	Reason string
}

func (e *PassedOverError) Error() string {
	return fmt.Sprintf("%s: passed over, because it %s", e.File, e.Reason)
}

// Handshake is a completed TLS handshake.
type Handshake struct {
	// Host is the host[:port] connected to, Identity the name of the identity
	// at hand, empty if there was none.
	Host, Identity string
	// Resumed tells that an earlier session was taken up.
	Resumed bool
}

var defaultHosts Hosts

func (t *Transport) hosts() *Hosts {
	if t.Hosts == nil {
		return &defaultHosts
	}
	return t.Hosts
}

// RoundTrip makes one request, and further ones while the answer asks for
// another certificate. If no certificate is accepted the last answer is
// returned, as Docker did.
//
// A request with a body is made again only if it has GetBody. Errors of
// verification are a *[VerificationError], refused certificates a
// *[RefusedError], refused plain HTTP a *[PlainHTTPError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTrip(nil, req)
}

func (t *Transport) roundTrip(b *EndpointTransport, req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		closeBody(req)
		return nil, errors.New("certsd: request without URL")
	}
	r, err := t.route(b, req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return t.rotate(r, req)
}

// closeBody obeys http.RoundTripper where no other transport does: "RoundTrip
// must always close the body, including on errors".
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// CloseIdleConnections closes the connections that are not in use. The
// Transport stays usable.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.states {
		s.closeIdle()
	}
	t.bare.closeIdle()
}

// note remembers that s has connections.
func (t *Transport) note(s *endpointState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, found := t.states[s]; found {
		return
	}
	for old := range t.states {
		if old.isRetired() {
			delete(t.states, old)
		}
	}
	if t.states == nil {
		t.states = make(map[*endpointState]struct{})
	}
	t.states[s] = struct{}{}
}

func (t *Transport) warn(err error) {
	if t.Hooks.OnWarning != nil {
		t.Hooks.OnWarning(err)
	}
}
