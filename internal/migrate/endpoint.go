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
	// below tells that /v2 comes below path.
	below bool
	// dropped tells that the address had parts that are never sent.
	dropped bool
}

// address is the endpoint as it is written in hosts.toml.
func (e *endpoint) address() string { return e.scheme + "://" + e.host + e.path }

// override tells that the path is the API's root as it is, where hosts.toml
// would put /v2 below it.
func (e *endpoint) override() bool {
	return !e.below && e.path != "" && !strings.HasSuffix(path.Clean(e.path), "/v2")
}

// same tells whether two addresses of a hosts.toml are one endpoint.
func sameAddress(a, b string) bool { return normal(a) == normal(b) }

// normal is an address in one spelling: with a scheme, in lower case where
// that does not matter, and without the API's usual path.
func normal(address string) string {
	if !strings.HasPrefix(address, "http") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	root := u.Path
	if root != "" {
		root = strings.TrimSuffix(path.Clean(root), "/")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimSuffix(root, "/v2")
}
