package certsd

import (
	"crypto/x509"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// states holds what a Transport remembers about each endpoint for the length of its
// life. The zero value is ready to use.
type states struct {
	// mu guards what follows.
	mu sync.Mutex
	// byLife holds the states of endpoints that a lookup found.
	byLife map[*hostdir.Life]*endpointState
	// apart holds the others.
	apart map[*endpointState]struct{}
}

// of returns the state of the endpoint with a life. When the life ends, the state is
// forgotten and its idle connections are closed. If it has already ended, the state is
// for this request alone.
func (s *states) of(life *hostdir.Life) *endpointState {
	state, known := s.find(life)
	if known {
		return state
	}
	// A Life holds only weak pointers, to let a Transport be collected.
	mine, owner := weak.Make(state), weak.Make(s)
	stop := life.AfterEnd(func() {
		if s := owner.Value(); s != nil {
			s.forget(life)
		}
		if state := mine.Value(); state != nil {
			state.retire()
		}
	})
	runtime.AddCleanup(state, func(stop func()) { stop() }, stop)
	return state
}

func (s *states) find(life *hostdir.Life) (state *endpointState, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state, known = s.byLife[life]; known {
		return state, true
	}
	if s.byLife == nil {
		s.byLife = make(map[*hostdir.Life]*endpointState)
	}
	state = new(endpointState)
	s.byLife[life] = state
	return state, false
}

func (s *states) forget(life *hostdir.Life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byLife, life)
}

// add returns a state for an endpoint that was not found by a lookup.
func (s *states) add() *endpointState {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.apart == nil {
		s.apart = make(map[*endpointState]struct{})
	}
	state := new(endpointState)
	s.apart[state] = struct{}{}
	return state
}

func (s *states) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.byLife {
		state.closeIdle()
	}
	for state := range s.apart {
		state.closeIdle()
	}
}

// endpointState is what is remembered about one endpoint: the transports with their
// connections, and the identity that last worked for each repository. Its zero value is
// ready to use.
type endpointState struct {
	memory memory
	// asks reports whether the server has ever asked for a client certificate, which it
	// does not do on a connection that resumes a TLS session.
	asks atomic.Bool
	// accepts are the names of the CAs that the server last listed as accepted issuers
	// of client certificates.
	accepts atomic.Pointer[[][]byte]

	// mu guards what follows.
	mu         sync.Mutex
	transports map[transportKey]*connections
	strangers  *strangers
	// retired reports whether the endpoint's life has ended.
	retired bool
	// warned holds the identities about whose validity a warning was given.
	warned map[*Identity]bool
}

// transportKey distinguishes the transports of one endpoint: a connection belongs to
// one certificate. Copies of an endpoint share one state and may differ in the other
// fields.
type transportKey struct {
	identity    *Identity
	skipVerify  bool
	dialTimeout time.Duration
}

// strangers holds the settings for unconfigured hosts that an endpoint leads to.
type strangers struct {
	// system is the pool that roots was made from, together with the endpoint's CA
	// roots.
	system, roots *x509.CertPool
	state         *endpointState
}

// connections returns the transport for one identity of an endpoint; id may be nil.
func (s *endpointState) connections(to target, id *Identity) *connections {
	key := transportKey{id, to.SkipVerify, to.DialTimeout}
	s.mu.Lock()
	defer s.mu.Unlock()
	if tr := s.transports[key]; tr != nil {
		return tr
	}
	if s.transports == nil {
		s.transports = make(map[transportKey]*connections)
	}
	tr := newHTTPTransport(to, id)
	s.transports[key] = tr
	return tr
}

// forStrangers returns the CA roots and the state for unconfigured hosts that the
// endpoint leads to. Both are replaced when the system's roots change.
func (s *endpointState) forStrangers(system *x509.CertPool, cas []hostdir.CA) (*x509.CertPool, *endpointState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strangers != nil && s.strangers.system == system {
		return s.strangers.roots, s.strangers.state
	}
	if s.strangers != nil {
		s.strangers.state.retire()
	}
	s.strangers = &strangers{system: system, roots: system, state: new(endpointState)}
	if len(cas) > 0 {
		s.strangers.roots = hostdir.Pool(cas, system)
	}
	return s.strangers.roots, s.strangers.state
}

// retire closes the idle connections of a replaced endpoint. Connections in use are
// closed once idle.
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

// warnOnce reports whether a warning about id is due: only the first call does.
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
