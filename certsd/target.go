package certsd

import (
	"crypto/x509"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// target is an endpoint as requests are made to it: what is configured for it, and
// what is remembered of it. It is not changed once a request has it.
type target struct {
	*Endpoint
	// roots are what its server is verified against, state has its connections.
	roots *x509.CertPool
	state *endpointState
	// configured reports whether the scheme is not just assumed or wished for.
	configured bool
	// stranger reports whether no configuration names the host, only a server.
	stranger bool
	// rotateOn is that of the endpoint's host, nil for none.
	rotateOn *RotateOn
	// faults are what is wrong with the files of the client certificates.
	faults []*Problem
	// lost are what keeps a CA from being among its roots.
	lost []*Problem
}

// target is an endpoint that a lookup found.
func (t *Transport) target(ep *Endpoint) *target {
	return &target{Endpoint: ep, roots: ep.RootCAs(), state: t.states.of(ep.Life()), configured: ep.Scheme == "http"}
}

// targetOf is an endpoint of a host, nil for none.
func (t *Transport) targetOf(host *Host, ep *Endpoint) *target {
	if ep == nil {
		return nil
	}
	to := t.target(ep)
	to.rotateOn, to.faults, to.lost = host.RotateOn, host.PairProblems(ep), host.CAProblems(ep)
	return to
}

// apart is an endpoint that stands for itself.
func (t *Transport) apart(ep *Endpoint) *target {
	return &target{Endpoint: ep, roots: ep.RootCAs(), state: t.states.add(), configured: true}
}

// serves reports whether requests to an origin use the settings of e. Plain HTTP
// on the same name and port is of the same server: whether it may be spoken is
// decided by these settings.
func serves(e *Endpoint, scheme, host string) bool {
	return scheme == e.Scheme && host == e.Host || hostname.OriginFor(scheme, host) == originOf(e) ||
		scheme == "http" && hostname.OriginFor(scheme, host).SameServer(originOf(e))
}

// originOf is the origin of an endpoint's URLs.
func originOf(e *Endpoint) hostname.Origin { return hostname.OriginFor(e.Scheme, e.Host) }
