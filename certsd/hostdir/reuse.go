package hostdir

import (
	"crypto/x509"
	"net/http"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// all returns the endpoints of the host and of its own part.
func (h *Host) all() []*Endpoint {
	if h == nil {
		return nil
	}
	if h.own == nil || h.own == h {
		return h.Endpoints
	}
	return slices.Concat(h.Endpoints, h.own.Endpoints)
}

// reuse keeps the parts that the old and the new host have in common: single endpoints,
// and the old host itself if nothing differs.
func reuse(old, host *Host) *Host {
	if old == nil {
		return host
	}
	known := old.all()
	same := keepEndpoints(known, host) && sameHost(old, host)
	if host.own != nil && host.own != host {
		same = keepEndpoints(known, host.own) && old.own != nil && old.own != old && sameHost(old.own, host.own) && same
	} else {
		same = same && (host.own == nil) == (old.own == nil) && (old.own == nil || old.own == old)
	}
	same = same && sameText(old.ownErr, host.ownErr)
	if same {
		return old
	}
	return host
}

// keepEndpoints replaces endpoints with equal known ones, and reports whether it could
// replace all.
func keepEndpoints(known []*Endpoint, host *Host) bool {
	all := true
	for i, e := range host.Endpoints {
		j := slices.IndexFunc(known, func(k *Endpoint) bool { return sameEndpoint(k, e) })
		if j < 0 {
			all = false
			continue
		}
		host.Endpoints[i] = known[j]
	}
	return all
}

// sameSettings reports whether two hosts differ at most in their warnings.
func sameSettings(a, b *Host) bool {
	return a.Dir == b.Dir && a.Fallback == b.Fallback && a.Own == b.Own && a.RegistryV1 == b.RegistryV1 &&
		sameRotateOn(a.RotateOn, b.RotateOn) && slices.Equal(a.Endpoints, b.Endpoints)
}

// sameRotateOn reports whether two settings are equal, or both absent.
func sameRotateOn(a, b *hoststoml.RotateOn) bool { return a == b || a != nil && b != nil && *a == *b }

func sameHost(a, b *Host) bool {
	return sameSettings(a, b) &&
		slices.EqualFunc(a.Warnings, b.Warnings, func(x, y error) bool { return x.Error() == y.Error() })
}

func sameText(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func containsText(errs []error, err error) bool {
	return slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() })
}

// retire ends the lives of old's endpoints that host no longer has.
func retire(old, host *Host) {
	kept := host.all()
	for _, e := range old.all() {
		if !slices.Contains(kept, e) {
			e.life.end()
		}
	}
}

// sameEndpoint reports whether two endpoints have the same configuration.
func sameEndpoint(a, b *Endpoint) bool {
	return a.Scheme == b.Scheme && a.Host == b.Host && a.Path == b.Path &&
		a.Capabilities == b.Capabilities && a.SkipVerify == b.SkipVerify &&
		a.DialTimeout == b.DialTimeout && a.Dir == b.Dir && a.hostsDir == b.hostsDir &&
		a.TLSConfigured == b.TLSConfigured && a.Localhost == b.Localhost && a.HTTPFallback == b.HTTPFallback &&
		a.system == b.system && sameProxy(a.Proxy, b.Proxy) && sameHeader(a.Header, b.Header) &&
		slices.EqualFunc(a.CAs, b.CAs, sameCA) &&
		slices.EqualFunc(a.Identities, b.Identities, sameIdentity)
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return true
}

func sameCA(a, b CA) bool {
	return a.File == b.File && slices.EqualFunc(a.Certificates, b.Certificates, (*x509.Certificate).Equal)
}

func sameIdentity(a, b *Identity) bool {
	if a == b {
		return true
	}
	return a.Name == b.Name && a.CertFile == b.CertFile && a.KeyFile == b.KeyFile && a.reference == b.reference &&
		slices.EqualFunc(a.Certificate.Certificate, b.Certificate.Certificate, slices.Equal[[]byte])
}
