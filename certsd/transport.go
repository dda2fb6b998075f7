package certsd

import (
	"errors"
	"net/http"
	"sync"
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
	// OnHandshake is called after each TLS handshake that the client completed.
	// With TLS 1.3 a server may still refuse the certificate then.
	OnHandshake func(Handshake)
	// OnWarning is called with problems that do not make a request fail.
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
