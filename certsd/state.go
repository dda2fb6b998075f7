package certsd

import (
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"
)

// endpointState is the mutable side of an Endpoint: the transports with their
// connections, and the identity that last worked for each repository. Its zero
// value is ready.
type endpointState struct {
	memory memory
	// asks reports whether a server asked for a client certificate, ever: on a
	// connection that takes up an earlier TLS session none does.
	asks atomic.Bool
	// accepts are the names of the CAs that it said last to accept client
	// certificates of.
	accepts atomic.Pointer[[][]byte]

	// mu guards what follows.
	mu         sync.Mutex
	transports map[transportKey]*connections
	strangers  *strangers
	// retired tells that the endpoint was replaced.
	retired bool
	// warned are the identities about whose validity a warning was given.
	warned map[*Identity]bool
}

// transportKey is what distinguishes the transports of one endpoint: a
// connection belongs to one certificate. The copies of an endpoint share its
// state and may differ in the other fields.
type transportKey struct {
	identity    *Identity
	skipVerify  bool
	dialTimeout time.Duration
}

// strangers are the settings for hosts that an endpoint leads to and for which
// nothing is configured.
type strangers struct {
	// system is what roots was made of, beside the CA roots of the endpoint.
	system, roots *x509.CertPool
	state         *endpointState
}

func newEndpointState() *endpointState { return &endpointState{} }

// connections returns the transport for one identity, nil for none.
func (s *endpointState) connections(ep *Endpoint, id *Identity) *connections {
	key := transportKey{id, ep.SkipVerify, ep.DialTimeout}
	s.mu.Lock()
	defer s.mu.Unlock()
	if tr := s.transports[key]; tr != nil {
		return tr
	}
	if s.transports == nil {
		s.transports = make(map[transportKey]*connections)
	}
	tr := newHTTPTransport(ep, id)
	s.transports[key] = tr
	return tr
}

// forStrangers returns the CA roots and the state for hosts the endpoint leads
// to. Both change with the system's roots.
func (s *endpointState) forStrangers(system *x509.CertPool, cas []CA) (*x509.CertPool, *endpointState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strangers != nil && s.strangers.system == system {
		return s.strangers.roots, s.strangers.state
	}
	if s.strangers != nil {
		s.strangers.state.retire()
	}
	s.strangers = &strangers{system: system, roots: system, state: newEndpointState()}
	if len(cas) > 0 {
		s.strangers.roots = poolOf(cas, system)
	}
	return s.strangers.roots, s.strangers.state
}

// retire closes the idle connections of an endpoint that was replaced. Those in
// use are closed when they become idle.
func (s *endpointState) retire() {
	s.mu.Lock()
	s.retired = true
	s.mu.Unlock()
	s.closeIdle()
}

func (s *endpointState) isRetired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired
}

func (s *endpointState) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.transports {
		tr.CloseIdleConnections()
	}
	if s.strangers != nil {
		s.strangers.state.closeIdle()
	}
}

// warnOnce tells whether a warning about id is due.
func (s *endpointState) warnOnce(id *Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warned[id] {
		return false
	}
	if s.warned == nil {
		s.warned = make(map[*Identity]bool)
	}
	s.warned[id] = true
	return true
}
