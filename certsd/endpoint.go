package certsd

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// EndpointTransport is a [Transport] bound to one endpoint of a registry: see
// [Transport.ForEndpoint].
type EndpointTransport struct {
	transport *Transport
	registry  string
	given     *Endpoint
	scoped    http.Header
	// pinned is used instead of looking given up, if given is not from a lookup.
	pinned *target

	// last is the result of the last successful lookup.
	last atomic.Pointer[target]
	// gone is used once the endpoint is no longer configured. It is made on first use.
	gone     *target
	makeGone sync.Once
}

// ForEndpoint returns a view of t for the requests made on behalf of one endpoint of
// a registry. It is cheap and shares connections and memory with t.
//
// Requests to the scheme, host and port of ep use its settings, looked up anew under
// the registry's name each time: files replaced during a pull take effect on its next
// connection. A caller may pass a copy of ep with SkipVerify set or with the scheme
// http; this is honored as long as nothing is configured for the host.
//
// Requests to any other origin, such as a token server, the Location of an upload or
// the target of a redirect, use the directory named after that host, never a _default
// one; without such a directory they use the system's CA roots and those of ep, and no
// certificate. The values of ep.Header and of scoped, the headers that a user gave for
// this registry, are removed from them.
func (t *Transport) ForEndpoint(registry string, ep *Endpoint, scoped http.Header) *EndpointTransport {
	b := &EndpointTransport{transport: t, registry: registry, given: ep, scoped: scoped}
	if ep.Life() == nil {
		b.pinned = t.apart(ep)
	}
	return b
}

// ForIdentity returns a view of t that presents exactly one identity, or none if id is
// nil, to one endpoint of a registry, on connections of its own and regardless of what
// else is configured. It shows how the server answers that identity. The settings of ep
// are not looked up again.
func (t *Transport) ForIdentity(registry string, ep *Endpoint, id *Identity) *EndpointTransport {
	alone := *ep
	alone.Identities = nil
	if id != nil {
		alone.Identities = []*Identity{id}
	}
	return &EndpointTransport{transport: t, registry: registry, given: &alone, pinned: t.apart(&alone)}
}

// RoundTrip implements http.RoundTripper: see [Transport.RoundTrip].
func (b *EndpointTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return b.transport.roundTrip(b, req)
}

// CloseIdleConnections closes the idle connections of the Transport.
func (b *EndpointTransport) CloseIdleConnections() { b.transport.CloseIdleConnections() }

// preferred is [EndpointTransport.PreferredFor] for the next request for a repository.
//
// It does not look for changed files; the request itself does.
func (b *EndpointTransport) preferred(repository string) *Identity {
	to := b.current()
	usable, _ := to.ByValidity(time.Now())
	return first(usable, to.state.memory.known(repository))
}

// PreferredFor returns the identity that a request presents first, nil for none. What a
// server issues to one identity, such as a token, may not be valid for another: key a
// cache of such things by the identity, preferably by its certificate, since a file may
// be replaced.
//
// It does not look for changed files; the request itself does.
func (b *EndpointTransport) PreferredFor(req *http.Request) *Identity {
	return b.preferred(repositoryOf(req, b.current().Path))
}

// current returns the endpoint as it was found last.
func (b *EndpointTransport) current() *target {
	switch last := b.last.Load(); {
	case b.pinned != nil:
		return b.pinned
	case last != nil:
		return last
	}
	return b.transport.target(b.given)
}

// endpoint returns the current settings of the endpoint. If the lookup fails, so must
// the request: the lookup itself tolerates half-written files, and removed ones must
// not be used.
func (b *EndpointTransport) endpoint(ctx context.Context) (*target, error) {
	if b.pinned != nil {
		return b.pinned, nil
	}
	host, err := router{b.transport}.lookup(ctx, b.registry)
	if err != nil {
		return nil, err
	}
	found := b.find(host)
	b.last.Store(found)
	return found, nil
}

// find returns the endpoint of host that corresponds to the given one: the same
// server, and if there are several, the one with the same scheme and path.
func (b *EndpointTransport) find(host *Host) *target {
	var found *Endpoint
	best := -1
	for _, ep := range host.Endpoints {
		if !originOf(ep).SameServer(originOf(b.given)) {
			continue
		}
		likeness := 0
		if ep.Scheme == b.given.Scheme {
			likeness += 2
		}
		if ep.Path == b.given.Path {
			likeness++
		}
		if likeness > best {
			found, best = ep, likeness
		}
	}
	if found == nil {
		b.makeGone.Do(func() {
			b.gone = b.transport.apart(&Endpoint{Scheme: b.given.Scheme, Host: b.given.Host, Path: b.given.Path})
			b.gone.configured = false
		})
		return b.gone
	}
	to := b.transport.targetOf(host, found)
	wish := *found
	wish.SkipVerify = found.SkipVerify || b.given.SkipVerify && found.Localhost
	if b.given.Scheme == "http" && !found.TLSConfigured {
		wish.Scheme = "http"
	}
	if wish.SkipVerify != found.SkipVerify || wish.Scheme != found.Scheme {
		to.Endpoint = &wish
	}
	return to
}

// target is an endpoint as requests use it: its configuration and what is remembered
// about it. It does not change once a request uses it.
type target struct {
	*Endpoint
	// roots verify its server, state holds its connections.
	roots *x509.CertPool
	state *endpointState
	// configured reports whether the scheme is configured rather than assumed or
	// requested.
	configured bool
	// stranger reports whether only a server names the host, not any configuration.
	stranger bool
	// rotateOn is the setting of the endpoint's registry, nil for none.
	rotateOn *RotateOn
	// faults are the problems with the files of the client certificates.
	faults []*Problem
	// lost are the problems that keep CAs out of its roots.
	lost []*Problem
}

// target returns the target of an endpoint that a lookup found.
func (t *Transport) target(ep *Endpoint) *target {
	return &target{Endpoint: ep, roots: ep.RootCAs(), state: t.states.of(ep.Life()), configured: ep.Scheme == "http"}
}

// targetOf returns the target of an endpoint of a host; it is nil if ep is.
func (t *Transport) targetOf(host *Host, ep *Endpoint) *target {
	if ep == nil {
		return nil
	}
	to := t.target(ep)
	to.rotateOn, to.faults, to.lost = host.RotateOn, host.PairProblems(ep), host.CAProblems(ep)
	return to
}

// apart returns the target of an endpoint that was not found by a lookup.
func (t *Transport) apart(ep *Endpoint) *target {
	return &target{Endpoint: ep, roots: ep.RootCAs(), state: t.states.add(), configured: true}
}

// serves reports whether requests to an origin use the settings of e. Plain HTTP on the
// same name and port is the same server: its settings decide whether that may be used.
func serves(e *Endpoint, scheme, host string) bool {
	return scheme == e.Scheme && host == e.Host || hostname.OriginFor(scheme, host) == originOf(e) ||
		scheme == "http" && hostname.OriginFor(scheme, host).SameServer(originOf(e))
}

// originOf returns the origin of an endpoint's URLs.
func originOf(e *Endpoint) hostname.Origin { return hostname.OriginFor(e.Scheme, e.Host) }
