package certsd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// route is how one request is to be made.
type route struct {
	// registry is the name the endpoint was looked up by, for messages.
	registry string
	// ep has the settings for the host of the request.
	ep *Endpoint
	// at is the origin of the request.
	at hostname.Origin
	// home is the endpoint on whose behalf the request is made; ep itself
	// unless foreign. nil if nobody said and no redirect tells.
	home *Endpoint
	// foreign tells that the request is for another origin than home's.
	foreign bool
	// configured tells that the endpoint's scheme is configured and not just
	// assumed or wished for.
	configured bool
	rotateOn   RotateOn
	// faults are what is wrong with the files of ep's client certificates.
	faults []*Problem
	chain  chain
	// scoped are headers meant for home only, beside home.Header.
	scoped http.Header
	// addHeader tells that nobody else adds ep.Header to the request.
	addHeader bool
}

// route finds the settings for a request. The errors are about the
// configuration of its host: it fails closed.
func (t *Transport) route(b *EndpointTransport, req *http.Request) (*route, error) {
	r := &route{chain: chainOf(req), at: hostname.OriginOf(req.URL)}
	scheme, host := r.at.Scheme, req.URL.Host
	found, err := t.findHome(b, r, req)
	if err != nil {
		return nil, err
	}
	if r.home = found.Endpoint; r.home == nil || !r.home.serves(scheme, host) {
		if found, err = t.stranger(req.Context(), r, scheme, host); err != nil {
			return nil, err
		}
	}
	r.ep, r.configured, r.rotateOn, r.faults = found.Endpoint, found.configured, t.RotateOn, found.faults
	if found.rotateOn != nil {
		r.rotateOn = *found.rotateOn
	}
	if scheme == "http" {
		return r, t.checkPlain(r, host)
	}
	if r.ep.TLSConfigured && len(r.ep.CAs)+len(r.ep.Identities) > 0 {
		t.hosts().tls.add(r.at.Bare())
	}
	return r, nil
}

// downgrade says in what a request trusts more than is configured.
func (r *route) downgrade() (d Downgrade) {
	if r.at.Scheme == "http" {
		if r.ep.Scheme != "http" || !r.configured {
			d = SpokePlainHTTP
		}
		return d
	}
	switch {
	case r.ep.SkipVerify && r.ep.Localhost:
		d = UnverifiedLocalhost
	case r.ep.SkipVerify:
		d = SkippedVerify
	}
	if r.ep.system != nil && len(r.ep.CAs) > 0 {
		d |= AppendedSystemRoots
	}
	return d
}

// findHome finds the endpoint on whose behalf a request is made; none if nobody
// says so.
func (t *Transport) findHome(b *EndpointTransport, r *route, req *http.Request) (settings, error) {
	switch {
	case b != nil:
		r.registry, r.scoped = b.registry, b.scoped
		return b.endpoint(req.Context())
	case t.Registry != "":
		host, err := t.lookup(req.Context(), t.Registry)
		if err != nil {
			return settings{}, err
		}
		r.registry, r.addHeader = host.Name, true
		return settingsOf(host, pick(host.Endpoints, req.URL, r.chain.first.URL)), nil
	case r.chain.crossed:
		// The CA roots of the server that redirects count for the target.
		first := r.chain.first.URL
		host, err := t.own(req.Context(), first.Scheme, first.Host)
		if err != nil || host == nil {
			return settings{}, err
		}
		r.registry = host.Name
		return settingsOf(host, pick(host.Endpoints)), nil
	}
	return settings{}, nil
}

// lookup returns a host with an endpoint at least.
func (t *Transport) lookup(ctx context.Context, registry string) (*Host, error) {
	host, err := hostAhead(ctx, t.hosts(), registry), error(nil)
	if host == nil {
		host, err = t.hosts().lookupIn(ctx, registry)
	}
	if err == nil && len(host.Endpoints) == 0 {
		err = fmt.Errorf("registry %s: no usable endpoint in %s: %w", registry, host.Dir, errors.Join(host.Warnings...))
	}
	return host, err
}

func settingsOf(host *Host, ep *Endpoint) settings {
	if ep == nil {
		return settings{}
	}
	return settings{Endpoint: ep, configured: ep.Scheme == "http", rotateOn: host.RotateOn, faults: host.faultsOf(ep)}
}

// pick returns the endpoint for the first of the URLs that has one, else the
// last endpoint: the registry itself.
func pick(endpoints []*Endpoint, urls ...*url.URL) *Endpoint {
	for _, u := range urls {
		for _, ep := range endpoints {
			if ep.origin() == hostname.OriginOf(u) {
				return ep
			}
		}
		for _, ep := range endpoints {
			if ep.serves(hostname.OriginOf(u).Scheme, u.Host) {
				return ep
			}
		}
	}
	if len(endpoints) == 0 {
		return nil
	}
	return endpoints[len(endpoints)-1]
}

// own returns what the directory named after a host says about it; nil without
// one. The last endpoint is the host itself.
func (t *Transport) own(ctx context.Context, scheme, hostport string) (*Host, error) {
	if _, _, err := hostname.Split(hostport); err != nil {
		// It cannot be the name of a directory.
		return nil, nil
	}
	host, err := t.hosts().ownIn(ctx, hostport)
	if err != nil || host == nil || len(host.Endpoints) == 0 {
		return nil, err
	}
	ep := host.Endpoints[len(host.Endpoints)-1]
	if !ep.origin().SameServer(hostname.OriginFor(scheme, hostport)) {
		return nil, nil
	}
	return host, nil
}

// stranger finds the settings for a host that nobody named but a server, or
// that no registry is known for.
func (t *Transport) stranger(ctx context.Context, r *route, scheme, hostport string) (settings, error) {
	r.foreign = r.home != nil
	host, err := t.own(ctx, scheme, hostport)
	if err != nil {
		return settings{}, err
	}
	if host == nil {
		return settings{Endpoint: t.unconfigured(r.home, scheme, hostport)}, nil
	}
	r.addHeader = true
	if r.registry == "" {
		r.registry = host.Name
	}
	return settingsOf(host, pick(host.Endpoints)), nil
}

// unconfigured are the settings for a host without a directory: the system's CA
// roots and those of home, and no certificate.
func (t *Transport) unconfigured(home *Endpoint, scheme, host string) *Endpoint {
	ep := &Endpoint{Scheme: scheme, Host: host, stranger: true}
	holder := &t.bare
	if home != nil {
		ep.CAs, holder = home.CAs, home.state
	}
	// An error leaves the platform's verifier.
	system, _ := t.hosts().SystemPool()
	ep.roots, ep.state = holder.forStrangers(system, ep.CAs)
	return ep
}

// poolOf is a new pool of the given roots and those of system, which may be nil.
func poolOf(cas []CA, system *x509.CertPool) *x509.CertPool {
	pool := x509.NewCertPool()
	if system != nil {
		pool = system.Clone()
	}
	for _, ca := range cas {
		for _, cert := range ca.Certificates {
			pool.AddCert(cert)
		}
	}
	return pool
}
