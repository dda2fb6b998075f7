package certsd

import (
	"fmt"
	"strings"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// maxTLSHosts bounds the number of hosts remembered for TLS.
const maxTLSHosts = 16 << 10

// tlsMemory remembers the hosts for which plain HTTP must not be used, because they
// spoke TLS or a CA or pair was configured for them. Its zero value is ready to use.
type tlsMemory struct {
	// mu guards hosts, whose keys come from bareHost.
	mu    sync.RWMutex
	hosts map[string]struct{}
}

func (m *tlsMemory) add(host string) {
	if m.has(host) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts == nil {
		m.hosts = make(map[string]struct{})
	}
	if len(m.hosts) >= maxTLSHosts {
		for some := range m.hosts {
			delete(m.hosts, some)
			break
		}
	}
	m.hosts[host] = struct{}{}
}

func (m *tlsMemory) has(host string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, found := m.hosts[host]
	return found
}

// spokenTLS returns the hosts that spoke TLS to this Transport. Transports with nil
// Hosts share them, as they share the directories.
func (t *Transport) spokenTLS() *tlsMemory {
	if t.Hosts == nil {
		return &defaultTLS
	}
	return &t.tls
}

var defaultTLS tlsMemory

// PlainHTTPError reports that a request was not made because it would have gone
// over plain HTTP where TLS is expected.
type PlainHTTPError struct {
	// Host is the host[:port] of the request.
	Host string
	// Reason says why TLS is expected, and the next step.
	Reason string
}

func (e *PlainHTTPError) Error() string {
	return fmt.Sprintf("refused to speak plain HTTP with %s: %s", e.Host, e.Reason)
}

// checkPlain returns an error if a request must not be made over plain HTTP.
func (t *Transport) checkPlain(r *route, host string) error {
	switch {
	case r.chain.downgraded:
		return &PlainHTTPError{host, fmt.Sprintf("a redirect of https://%s leads there: behind a proxy that ends TLS, "+
			"set its external URL to https://, or have the proxy send X-Forwarded-Proto: https", r.chain.first.URL.Host)}
	case r.foreign && r.home.Scheme == "https" && !r.chain.crossed:
		return r.named(host)
	case r.to.Scheme == "http" && r.to.configured:
		return nil
	case r.to.TLSConfigured && !r.to.HTTPFallback:
		if r.elsewhere() {
			return r.named(host)
		}
		return &PlainHTTPError{host, fmt.Sprintf("TLS is configured for it in %s: use https", r.to.Dir)}
	case t.spokenTLS().has(hostname.OriginFor("http", host).Bare()):
		if r.elsewhere() {
			return r.named(host)
		}
		return &PlainHTTPError{host, "it was seen to speak TLS, or TLS was configured for it: use https, or restart if it was changed to plain HTTP"}
	}
	return nil
}

// elsewhere reports whether the registry itself named the URL of the request, over TLS:
// the URL is not below its API, hence a token server's, even if on the same host.
func (r *route) elsewhere() bool {
	return r.home != nil && r.home.Scheme == "https" && !strings.HasPrefix(r.chain.first.URL.Path, r.home.Path+"/")
}

// named returns the error about a plain HTTP URL named by a registry over TLS.
func (r *route) named(host string) error {
	return &PlainHTTPError{host, serverfault.NamesPlainHTTP(r.home.Host)}
}
