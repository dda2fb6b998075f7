package status

import (
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// described is the part of an endpoint's description that depends neither on its
// server's answers nor on the time. It is made once for each value of a host, which
// stays the same as long as its files do: formatting the texts is the most expensive
// part of a status.
type described struct {
	Endpoint

	from *certsd.Endpoint
	ids  []identityWords
	// roots are the certificates of CAs.
	roots []*x509.Certificate
}

// identityWords describes an identity; id is nil for one that cannot be used.
type identityWords struct {
	Identity
	id *certsd.Identity
}

// describeEndpoints describes the endpoints of a host at a time.
func (s description) describeEndpoints(host *certsd.Host, now time.Time) []Endpoint {
	all := s.descriptions.host(host)
	endpoints := make([]Endpoint, len(all))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range all {
		endpoints[i] = all[i].at(s.servers[all[i].from.Host], now)
	}
	return endpoints
}

// describeEndpoint returns the constant part of an endpoint's description.
func (d *descriptions) describeEndpoint(host *certsd.Host, ep *certsd.Endpoint) described {
	e := described{from: ep, Endpoint: Endpoint{
		URL: safetext.Line(ep.Scheme+"://"+ep.Host+ep.Path, maxText), Host: safetext.Line(ep.Host, maxText),
		Directory: safetext.Line(ep.Dir, 0), SkipVerify: ep.SkipVerify, Proxy: ProxyOf(ep),
	}}
	for _, file := range ep.CAs {
		for _, cert := range file.Certificates {
			e.CAs = append(e.CAs, CA{Certificate: d.certificate(cert), File: safetext.Line(file.File, 0)})
			e.roots = append(e.roots, cert)
		}
	}
	for _, id := range ep.Identities {
		e.ids = append(e.ids, identityWords{d.describeIdentity(id), id})
	}
	for _, p := range host.Unusable(ep) {
		e.ids = append(e.ids, identityWords{Identity: Identity{
			Name: safetext.Line(filepath.Base(p.File), maxText), File: safetext.Line(p.File, 0), Why: safetext.Line(p.Message(), maxText),
		}})
	}
	slices.SortStableFunc(e.ids, func(a, b identityWords) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// describeIdentity describes a usable client certificate.
func (d *descriptions) describeIdentity(id *certsd.Identity) Identity {
	words := Identity{Name: safetext.Line(id.Name, maxText), File: safetext.Line(id.CertFile, 0), Key: safetext.Line(id.KeyFile, 0), Presented: true}
	if leaf := id.Leaf(); leaf != nil {
		c := d.certificate(leaf)
		words.Certificate = &c
	}
	return words
}

// at returns the endpoint's description at a time, with the answers of its server; v is
// nil for none. The caller holds [State.mu].
func (e *described) at(v *server, now time.Time) Endpoint {
	told := e.Endpoint
	if v != nil && v.ca != nil && len(e.CAs) > 0 {
		told.CAs = slices.Clone(e.CAs)
		for i, root := range e.roots {
			told.CAs[i].Used = v.ca.Equal(root)
		}
	}
	if len(e.ids) > 0 {
		told.Identities = make([]Identity, len(e.ids))
	}
	_, passed := e.from.ByValidity(now)
	for i, words := range e.ids {
		one, id := &told.Identities[i], words.id
		*one = words.Identity
		if id == nil {
			continue
		}
		if slices.Contains(passed, id) {
			one.Presented, one.Why = false, id.Invalid(now)
		}
		if known := v.of(e.from.Dir, id); known != nil {
			last := known.last
			one.Answer = &last
			if !known.accepted.IsZero() {
				at := known.accepted
				one.Accepted = &at
			}
		}
	}
	return told
}

// descriptions caches the descriptions in the last snapshot and in this one. Its zero
// value is ready to use.
type descriptions struct {
	mu           sync.Mutex // guards the rest
	hosts        generations[*certsd.Host, []described]
	certificates generations[*x509.Certificate, Certificate]
}

// host describes the endpoints of a host.
func (d *descriptions) host(host *certsd.Host) []described {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hosts.get(host, func() []described {
		all := make([]described, 0, len(host.Endpoints))
		for _, ep := range host.Endpoints {
			all = append(all, d.describeEndpoint(host, ep))
		}
		return all
	})
}

// of describes the certificate of a server.
func (d *descriptions) of(c *x509.Certificate) Certificate {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.certificate(c)
}

// certificate describes a certificate. The caller holds mu.
func (d *descriptions) certificate(c *x509.Certificate) Certificate {
	return d.certificates.get(c, func() Certificate {
		return Certificate{
			Subject: safetext.Line(c.Subject.String(), maxText), Issuer: safetext.Line(c.Issuer.String(), maxText),
			Serial: Serial(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		}
	})
}

// forget drops what the finished snapshot did not use.
func (d *descriptions) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts.next()
	d.certificates.next()
}

// generations keeps the values used since the last call of next but one. Its zero value
// is ready to use.
type generations[K comparable, V any] struct{ before, now map[K]V }

// get returns the value kept for k, or makes it.
func (g *generations[K, V]) get(k K, describe func() V) V {
	v, ok := g.now[k]
	if ok {
		return v
	}
	if v, ok = g.before[k]; !ok {
		v = describe()
	}
	if g.now == nil {
		g.now = make(map[K]V, len(g.before))
	}
	g.now[k] = v
	return v
}

// next begins a new generation.
func (g *generations[K, V]) next() { g.before, g.now = g.now, nil }
