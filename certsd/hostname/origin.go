package hostname

import (
	"net/url"
	"strings"
)

// Origin is what decides whether two URLs are of one server: the scheme, and the
// canonical name with its port.
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

// SameOrigin reports whether two URLs are of one server: of the same scheme, name
// and port, however these are spelt.
func SameOrigin(a, b *url.URL) bool { return OriginOf(a) == OriginOf(b) }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// Bare returns the canonical host[:port] without a default port: what http://h,
// https://h and their spellings with a port have in common.
func (o Origin) Bare() string {
	return strings.TrimSuffix(strings.TrimSuffix(o.Host, ":443"), ":80")
}

// SameServer reports whether two origins differ in their scheme at most: plain HTTP
// and TLS on one port, or each on its own default port, are of one server.
func (o Origin) SameServer(p Origin) bool {
	if o.Host == p.Host {
		return true
	}
	a, ofA := strings.CutSuffix(o.Host, ":"+defaultPort(o.Scheme))
	b, ofB := strings.CutSuffix(p.Host, ":"+defaultPort(p.Scheme))
	return ofA && ofB && a == b
}
