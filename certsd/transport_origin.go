package certsd

import (
	"net/http"
	"net/url"
	"strings"
)

// origin is what decides whether two URLs are of one server: scheme, canonical
// name and port.
type origin struct{ scheme, host string }

func originOf(u *url.URL) origin { return originFor(u.Scheme, u.Host) }

func originFor(scheme, host string) origin {
	scheme = strings.ToLower(scheme)
	name, port, err := splitHost(host)
	if err != nil {
		return origin{scheme, strings.ToLower(host)}
	}
	if port == "" {
		port = defaultPort(scheme)
	}
	return origin{scheme, joinHost(host, name, port)}
}

// SameOrigin tells whether two URLs are of one server: of the same scheme, name
// and port, however these are spelt.
func SameOrigin(a, b *url.URL) bool { return originOf(a) == originOf(b) }

// origin is the origin of the endpoint's URLs.
func (e *Endpoint) origin() origin { return originFor(e.Scheme, e.Host) }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// bareHost is the canonical host[:port] without a default port: what http://h,
// https://h and their spellings with a port have in common.
func bareHost(scheme, host string) string { return originFor(scheme, host).bare() }

// bare is bareHost of an origin.
func (o origin) bare() string {
	return strings.TrimSuffix(strings.TrimSuffix(o.host, ":443"), ":80")
}

// sameServer tells whether two origins differ in their scheme at most: plain HTTP
// and TLS on one port, or each on its own default port, are of one server.
func (o origin) sameServer(p origin) bool {
	if o.host == p.host {
		return true
	}
	a, ofA := strings.CutSuffix(o.host, ":"+defaultPort(o.scheme))
	b, ofB := strings.CutSuffix(p.host, ":"+defaultPort(p.scheme))
	return ofA && ofB && a == b
}

// maxHops bounds the walk along redirects. Clients follow ten.
const maxHops = 50

// chain is what led to a request.
type chain struct {
	// first is the request somebody asked for; the request itself unless it
	// follows a redirect.
	first *http.Request
	// redirected tells that it follows a redirect, crossed that another origin
	// lies on the way: nothing private goes along any more, not even after a
	// redirect led back.
	redirected, crossed bool
	// downgraded tells that the way led from https to http.
	downgraded bool
}

// chainOf walks along the answers that redirected: http.Client, and clients
// that follow redirects themselves, leave them in Request.Response.
func chainOf(req *http.Request) chain {
	c := chain{first: req}
	if req.Response == nil {
		return c
	}
	here := originOf(req.URL)
	for range maxHops {
		prev := c.first.Response
		if prev == nil || prev.Request == nil || prev.Request.URL == nil {
			return c
		}
		c.first, c.redirected = prev.Request, true
		if o := originOf(c.first.URL); o != here {
			c.crossed = true
			c.downgraded = c.downgraded || o.scheme == "https" && here.scheme == "http"
		}
	}
	c.crossed = true
	return c
}
