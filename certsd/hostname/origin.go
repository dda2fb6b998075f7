package hostname

import (
	"net/url"
	"strings"
)

// Origin identifies the server of a URL: the scheme, and the canonical name with its
// port.
type Origin struct{ Scheme, Host string }

// OriginOf returns the origin of a URL.
func OriginOf(u *url.URL) Origin { return OriginFor(u.Scheme, u.Host) }

// OriginFor returns the origin of a scheme and a host[:port].
func OriginFor(scheme, host string) Origin {
	scheme = strings.ToLower(scheme)
	name, port, err := Split(host)
	if err != nil {
		return Origin{scheme, strings.ToLower(host)}
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return Origin{scheme, joinHost(host, name, port)}
}

// SameOrigin reports whether two URLs have the same scheme, name and port, however
// spelt.
func SameOrigin(a, b *url.URL) bool { return OriginOf(a) == OriginOf(b) }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// Bare returns the canonical host[:port] without a default port, which http://h,
// https://h and their spellings with a port have in common.
func (o Origin) Bare() string {
	return strings.TrimSuffix(strings.TrimSuffix(o.Host, ":443"), ":80")
}

// SameServer reports whether two origins differ at most in their scheme: plain HTTP and
// TLS on one port, or each on its default port, belong to one server.
func (o Origin) SameServer(p Origin) bool {
	if o.Host == p.Host {
		return true
	}
	a, ofA := strings.CutSuffix(o.Host, ":"+defaultPort(o.Scheme))
	b, ofB := strings.CutSuffix(p.Host, ":"+defaultPort(p.Scheme))
	return ofA && ofB && a == b
}
