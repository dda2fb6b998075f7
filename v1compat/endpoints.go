package v1compat

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// endpoint is one server that holds the repository: scheme://host[:port]/v1/.
type endpoint struct {
	base   string
	origin origin
}

// origin is the scope of credentials and cookies: scheme, host and port.
type origin struct{ scheme, host, port string }

func newEndpoint(scheme, host string) (endpoint, error) {
	if _, _, err := splitHostPort(host); err != nil {
		return endpoint{}, err
	}
	u := &url.URL{Scheme: scheme, Host: strings.ToLower(host), Path: "/v1/"}
	return endpoint{base: u.String(), origin: originOf(u)}, nil
}

func originOf(u *url.URL) origin {
	o := origin{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return o
}

// url returns the endpoint's URL for path segments, which it escapes.
func (e endpoint) url(segments ...string) (*url.URL, error) {
	var b strings.Builder
	for i, s := range segments {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(url.PathEscape(s))
	}
	u, err := url.Parse(e.base + b.String())
	if err != nil {
		return nil, err
	}
	// The segments have been validated already; this is a second line of defense.
	if !strings.HasPrefix(u.JoinPath().String(), e.base) {
		return nil, fmt.Errorf("%q leads out of %s", b.String(), e.base)
	}
	return u, nil
}

// headerEndpoints returns the endpoints that X-Docker-Endpoints names. It lists bare
// host[:port] items on one or more lines, which inherit the registry's scheme
// (Docker's buildEndpointsList). Without any, the registry itself is the endpoint.
//
// A registry on a non-default port may omit the port: Apache's $SERVER_NAME, in the
// example that came with Docker's certs.d, has none. Such an item is followed by the
// same host with the registry's port.
func (c *Client) headerEndpoints(registry endpoint, h http.Header) ([]endpoint, error) {
	var list []endpoint
	seen := map[origin]bool{}
	items, bad, most := 0, 0, c.Limits.endpoints()
	add := func(item string) {
		ep, err := newEndpoint(registry.origin.scheme, item)
		switch {
		case err != nil:
		case ep.origin == registry.origin:
			ep = registry // however it is spelled
		default:
			err = c.allowed(ep.origin)
		}
		if err != nil {
			bad++
			c.warn(c.refuse(fmt.Errorf("X-Docker-Endpoints: skipped: %w", err)))
			return
		}
		if !seen[ep.origin] && len(list) < most {
			seen[ep.origin] = true
			list = append(list, ep)
		}
	}
	for _, line := range h.Values("X-Docker-Endpoints") {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.Trim(item, " \t"); item == "" {
				continue
			}
			if items++; len(list) == most || bad >= most {
				continue
			}
			add(item)
			if portless(item) == registry.origin.host {
				add(registry.origin.hostPort())
			}
		}
	}
	switch {
	case items == 0:
		return []endpoint{registry}, nil
	case len(list) == 0:
		return nil, errors.New("X-Docker-Endpoints: no usable endpoint: each item must be host[:port]")
	case items > most:
		c.warn(c.refuse(fmt.Errorf("X-Docker-Endpoints: at most %d of %d items are used", most, items)))
	}
	return list, nil
}

// portless returns the host of an item without a port, else the empty string.
func portless(item string) string {
	host, port, err := splitHostPort(item)
	if err != nil || port != "" {
		return ""
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// hostPort returns the origin's host:port, with brackets around an IPv6 address.
func (o origin) hostPort() string {
	if strings.Contains(o.host, ":") {
		return "[" + o.host + "]:" + o.port
	}
	return o.host + ":" + o.port
}
