package certsd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// route holds the settings for one request.
type route struct {
	// registry is the name that the endpoint was looked up by, for messages.
	registry string
	// by is the EndpointTransport that makes the request, nil for none; renewed reports
	// whether the request is repeated: see [round.renewed].
	by      *EndpointTransport
	renewed bool
	// to holds the settings for the host of the request.
	to *target
	// at is the origin of the request.
	at hostname.Origin
	// home is the endpoint on whose behalf the request is made; it equals to unless
	// foreign is set. It is nil if neither the caller nor a redirect determines it.
	home *target
	// foreign reports whether the request goes to another server than home's.
	foreign bool
	// statuses are the statuses on which the next identity is presented.
	statuses RotateOn
	chain    chain
	// scoped are headers meant for home only, in addition to home.Header.
	scoped http.Header
	// addHeader reports whether to.Header must be added to the request here, because
	// the caller does not.
	addHeader bool
}

// router decides which settings apply to a request.
type router struct{ *Transport }

// route finds the settings for a request. It fails closed: an error means that its
// host's configuration cannot be used.
func (t router) route(b *EndpointTransport, req *http.Request) (*route, error) {
	r := &route{by: b, chain: chainOf(req), at: hostname.OriginOf(req.URL)}
	scheme, host := r.at.Scheme, req.URL.Host
	var err error
	if r.home, err = t.findHome(b, r, req); err != nil {
		return nil, err
	}
	if r.to = r.home; r.home == nil || !serves(r.home.Endpoint, scheme, host) {
		if r.to, err = t.stranger(req.Context(), r, scheme, host); err != nil {
			return nil, err
		}
	}
	if r.statuses = t.RotateOn; r.to.rotateOn != nil {
		r.statuses = *r.to.rotateOn
	}
	if scheme == "http" {
		return r, t.checkPlain(r, host)
	}
	if r.to.TLSConfigured && len(r.to.CAs)+len(r.to.Identities) > 0 {
		t.spokenTLS().add(r.at.Bare())
	}
	return r, nil
}

// downgrade returns the ways in which a request trusts more than is configured.
func (r *route) downgrade() (d Downgrade) {
	if r.at.Scheme == "http" {
		if r.to.Scheme != "http" || !r.to.configured {
			d = SpokePlainHTTP
		}
		return d
	}
	switch {
	case r.to.SkipVerify && r.to.Localhost:
		d = UnverifiedLocalhost
	case r.to.SkipVerify:
		d = SkippedVerify
	}
	if r.to.TrustsSystem() && len(r.to.CAs) > 0 {
		d |= AppendedSystemRoots
	}
	return d
}

// findHome finds the endpoint on whose behalf a request is made, nil for none.
func (t router) findHome(b *EndpointTransport, r *route, req *http.Request) (*target, error) {
	switch {
	case b != nil:
		r.registry, r.scoped = b.registry, b.scoped
		return b.endpoint(req.Context())
	case t.Registry != "":
		host, err := t.lookup(req.Context(), t.Registry)
		if err != nil {
			return nil, err
		}
		r.registry, r.addHeader = host.Name, true
		return t.targetOf(host, pick(host.Endpoints, req.URL, r.chain.first.URL)), nil
	case r.chain.crossed:
		// The CA roots of the redirecting server are used for the target.
		first := r.chain.first.URL
		host, err := t.own(req.Context(), first.Scheme, first.Host)
		if err != nil || host == nil {
			return nil, err
		}
		r.registry = host.Name
		return t.targetOf(host, pick(host.Endpoints)), nil
	}
	return nil, nil
}

// lookup returns a host with at least one endpoint.
func (t router) lookup(ctx context.Context, registry string) (*Host, error) {
	host, err := t.hosts().LookupContext(ctx, registry)
	if err == nil && len(host.Endpoints) == 0 {
		err = fmt.Errorf("registry %s: no usable endpoint in %s: %w", registry, host.Dir, errors.Join(host.Warnings...))
	}
	return host, err
}

// pick returns the endpoint for the first of the URLs that has one, otherwise the last
// endpoint: the registry itself.
func pick(endpoints []*Endpoint, urls ...*url.URL) *Endpoint {
	for _, u := range urls {
		for _, ep := range endpoints {
			if originOf(ep) == hostname.OriginOf(u) {
				return ep
			}
		}
		for _, ep := range endpoints {
			if serves(ep, hostname.OriginOf(u).Scheme, u.Host) {
				return ep
			}
		}
	}
	if len(endpoints) == 0 {
		return nil
	}
	return endpoints[len(endpoints)-1]
}

// own returns the configuration in the directory named after a host, nil without one.
// Its last endpoint is the host itself.
func (t router) own(ctx context.Context, scheme, hostport string) (*Host, error) {
	if _, _, err := hostname.Split(hostport); err != nil {
		// It cannot be the name of a directory.
		return nil, nil
	}
	host, err := t.hosts().OwnContext(ctx, hostport)
	if err != nil || host == nil || len(host.Endpoints) == 0 {
		return nil, err
	}
	ep := host.Endpoints[len(host.Endpoints)-1]
	if !originOf(ep).SameServer(hostname.OriginFor(scheme, hostport)) {
		return nil, nil
	}
	return host, nil
}

// stranger finds the settings for a host that only a server named, or that belongs to
// no known registry, from the directory named after it if there is one.
func (t router) stranger(ctx context.Context, r *route, scheme, hostport string) (*target, error) {
	r.foreign = r.home != nil
	host, err := t.own(ctx, scheme, hostport)
	if err != nil {
		return nil, err
	}
	if host == nil {
		return t.unconfigured(r.home, scheme, hostport), nil
	}
	r.addHeader = true
	if r.registry == "" {
		r.registry = host.Name
	}
	return t.targetOf(host, pick(host.Endpoints)), nil
}

// unconfigured returns the settings for a host without a directory: the system's CA
// roots and those of home, and no certificate.
func (t router) unconfigured(home *target, scheme, host string) *target {
	to := &target{Endpoint: &Endpoint{Scheme: scheme, Host: host}, stranger: true}
	holder := &t.bare
	if home != nil {
		to.CAs, holder = home.CAs, home.state
	}
	// On an error the platform's verifier is used.
	system, _ := t.hosts().SystemPool()
	to.roots, to.state = holder.forStrangers(system, to.CAs)
	return to
}
