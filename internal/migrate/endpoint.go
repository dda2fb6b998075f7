package migrate

import (
	"net/url"
	"path"
	"strings"
)

// endpoint is a configured server to ask for a registry's content.
type endpoint struct {
	at           place
	scheme, host string
	// path is the escaped path of the API, empty for /v2.
	path string
	// below reports whether /v2 is appended to path.
	below bool
	// dropped reports whether parts of the address are never sent.
	dropped bool
}

// address returns the endpoint as hosts.toml spells it.
func (e *endpoint) address() string { return e.scheme + "://" + e.host + e.path }

// asked returns the URL that the endpoint's requests start with.
func (e *endpoint) asked() string { return asked(e.address(), e.override()) }

// override reports whether path is the complete path of the API, to which hosts.toml
// would append /v2.
func (e *endpoint) override() bool {
	return !e.below && e.path != "" && !strings.HasSuffix(path.Clean(e.path), "/v2")
}

// asked returns the URL that requests to an address in hosts.toml start with, the same
// for all addresses of one endpoint.
func asked(address string, override bool) string {
	if !strings.HasPrefix(address, "http") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	root := path.Clean("/" + u.Path)
	if !override && !strings.HasSuffix(root, "/v2") {
		root = path.Join(root, "v2")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + root
}
