package certsd

import (
	"fmt"
	"strings"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// maxTLSHosts bounds the memory of hosts that spoke TLS.
const maxTLSHosts = 16 << 10

// tlsMemory remembers the hosts that are not to be spoken to in plain HTTP,
// because TLS was spoken with them or a CA or pair was configured for them.
// Its zero value is ready.
type tlsMemory struct {
	// mu guards hosts, whose keys are of bareHost.
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

// spokenTLS are the hosts that spoke TLS to this Transport. Those that share their
// directories by leaving Hosts out share them, too.
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
	// Reason says why TLS is due, and what to do.
	Reason string
}

func (e *PlainHTTPError) Error() string {
	return fmt.Sprintf("refused to speak plain HTTP with %s: %s", e.Host, e.Reason)
}

// checkPlain says whether a request over plain HTTP may be made.
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

// elsewhere reports whether a registry over TLS, and nobody here, named the URL of
// the request: its token server's, which need not be another host.
func (r *route) elsewhere() bool {
	return r.home != nil && r.home.Scheme == "https" && !strings.HasPrefix(r.chain.first.URL.Path, r.home.Path+"/")
}

// named is the error about a URL in plain HTTP that a registry over TLS named.
func (r *route) named(host string) error {
	return &PlainHTTPError{host, serverfault.NamesPlainHTTP(r.home.Host)}
}
