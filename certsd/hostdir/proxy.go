package hostdir

import (
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// Proxy is the proxy that a hosts.toml names for an endpoint. nil means the one in the
// environment.
type Proxy struct {
	hoststoml.Proxy
	// File is the hosts.toml, Key the key there in TOML's dotted form.
	File, Key string
}

// For returns the proxy for a request, including user and password, nil for none.
func (p *Proxy) For(req *http.Request) (*url.URL, error) {
	if p == nil {
		return http.ProxyFromEnvironment(req)
	}
	return p.URL(), nil
}

// proxy returns the proxy of a table, or of another table with the same scheme, host
// and port.
func (b *builder) proxy(c *endpointConfig) *Proxy {
	for _, t := range b.sameServer(c) {
		if t.Proxy != nil {
			return &Proxy{Proxy: *t.Proxy, File: filepath.Join(b.found.config.Path, hostsTOML), Key: dotted(t.Key, "proxy")}
		}
	}
	return nil
}

func dotted(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

func sameProxy(a, b *Proxy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b.Proxy) && a.File == b.File && a.Key == b.Key
}
