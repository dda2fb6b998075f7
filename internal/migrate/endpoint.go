package migrate

import (
	"net/url"
	"path"
	"strings"
)

// endpoint is one server to ask for a registry's content, as a configuration
// gives it.
type endpoint struct {
	at           place
	scheme, host string
	// path is the API's root as in a URL, empty for /v2.
	path string
	// below reports whether /v2 comes below path.
	below bool
	// dropped reports whether the address had parts that are never sent.
	dropped bool
}

// address returns the endpoint as it is written in hosts.toml.
func (e *endpoint) address() string { return e.scheme + "://" + e.host + e.path }

// asked returns the URL below which the endpoint is asked.
func (e *endpoint) asked() string { return asked(e.address(), e.override()) }

// override reports whether the path is the API's root as it is, where hosts.toml
// would put /v2 below it.
func (e *endpoint) override() bool {
	return !e.below && e.path != "" && !strings.HasSuffix(path.Clean(e.path), "/v2")
}

// asked returns the URL below which an address of a hosts.toml is asked, in one
// spelling: what two addresses of the same endpoint have in common.
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
