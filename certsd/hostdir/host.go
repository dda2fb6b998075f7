package hostdir

import (
	"crypto/x509"
	"net/http"
	"slices"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// CA is one file of CA roots.
type CA struct {
	File         string
	Certificates []*x509.Certificate
}

// Host is the configuration of one registry. It never changes: a changed directory
// yields a new Host.
type Host struct {
	// Name is the canonical name: see [hostname.Canonical].
	Name string
	// Dir is the directory the configuration was found in, empty if there is
	// none for this registry.
	Dir string
	// Fallback reports whether Dir is not named after the registry: it is a _default
	// directory, or one for the hosts below a domain.
	Fallback bool
	// Own reports whether a directory named after the registry exists, even if it
	// is empty.
	Own bool
	// Endpoints are the servers to ask for the registry's content, in the order in
	// which to try them. The last is the registry itself unless hosts.toml says
	// otherwise.
	Endpoints []*Endpoint
	// RegistryV1 and RotateOn are registry_v1 and rotate_on of hosts.toml, empty and
	// nil if absent.
	RegistryV1 hoststoml.RegistryV1
	RotateOn   *hoststoml.RotateOn
	// Warnings are the problems that do not keep the host from being used,
	// each naming file and cause.
	Warnings []error

	// faults holds, for each of Endpoints, the problems with its files.
	faults []faults

	// own is the result of Hosts.Own: this host, or one without the parts from a
	// _default directory. It is nil if no directory is named after the host, or if
	// its files cannot be used because of ownErr.
	own    *Host
	ownErr error

	// from is the Hosts that looked it up; alone reports whether Hosts.Own did.
	from  *Hosts
	alone bool
}

// Current looks the host up again and returns its present configuration: the same value
// as long as no file changes. It is nil, without an error, if the host came from
// [Hosts.Own] and its directory is gone.
func (h *Host) Current() (*Host, error) {
	switch {
	case h.from == nil:
		return h, nil
	case h.alone:
		return h.from.Own(h.Name)
	default:
		return h.from.Lookup(h.Name)
	}
}

// lookedUp records where a host comes from, for Current.
func (h *Host) lookedUp(from *Hosts) {
	h.from = from
	if h.own != nil && h.own != h {
		h.own.from, h.own.alone = from, true
	}
}

// Endpoint is one server to ask for a registry's content, with its TLS settings. It
// never changes once built: the code that makes the requests keeps the connections and
// what it learns about the server, keyed by [Endpoint.Life].
type Endpoint struct {
	// Scheme is "https" or "http".
	Scheme string
	// Host is the host[:port] to connect to, as configured.
	Host string
	// Path is the API root, "/v2" unless hosts.toml overrides it.
	Path string
	// Capabilities are the operations the endpoint may be used for.
	Capabilities hoststoml.Capabilities
	// Header is sent with each request to this endpoint, and to no other.
	Header http.Header
	// SkipVerify disables verification of the server's certificate.
	SkipVerify bool
	// DialTimeout bounds a connection attempt. Zero means 30 seconds.
	DialTimeout time.Duration
	// Proxy is the proxy to use, nil for the one in the environment.
	Proxy *Proxy
	// CAs are the roots configured for the endpoint, file by file. If empty, the
	// system's roots are used.
	CAs []CA
	// Identities are the client certificates, in the order in which to present
	// them.
	Identities []*Identity
	// Dir is the directory with the TLS settings, for messages; empty for none.
	Dir string
	// TLSConfigured reports whether a CA, a pair or an explicit skip_verify is
	// configured: plain HTTP is then never used unless Scheme or HTTPFallback say so.
	TLSConfigured bool
	// Localhost reports whether the endpoint is a registry on this machine without
	// configuration. Docker and containerd do not verify such a registry and fall back
	// to plain HTTP: the caller decides whether to do so.
	Localhost bool
	// HTTPFallback reports whether plain HTTP may be used if the server does not
	// speak TLS: hosts.toml says "http://" together with skip_verify, and neither a
	// CA nor a pair is configured.
	HTTPFallback bool

	// hostsDir is the directory whose hosts.toml gives the endpoint, empty for
	// none.
	hostsDir string
	// roots is the pool to verify the server against: CAs, and the system's roots if
	// SystemRoots asks for them. nil means the platform's verifier.
	roots *x509.CertPool
	// system is the version of the system's roots in roots, nil if there are none.
	system *systemRoots
	// life is shared by all copies of the endpoint.
	life *Life
}

// RootCAs returns the CA roots that the endpoint's server is verified against: CAs, the
// system's, or both. nil stands for the platform's verifier. The pool is shared: clone
// it before adding to it.
func (e *Endpoint) RootCAs() *x509.CertPool {
	if e.roots == nil && len(e.CAs) > 0 {
		return Pool(e.CAs, nil)
	}
	return e.roots
}

// TrustsSystem reports whether the system's CA roots are accepted.
func (e *Endpoint) TrustsSystem() bool { return len(e.CAs) == 0 || e.system != nil }

// ConfigDir returns the directory that configures the endpoint: Dir, or the one whose
// hosts.toml names the endpoint without TLS settings. It is empty for none.
func (e *Endpoint) ConfigDir() string {
	if e.Dir != "" {
		return e.Dir
	}
	return e.hostsDir
}

// Life returns the lifetime of the endpoint, which its copies share. It is nil for an
// endpoint that no [Hosts] found.
func (e *Endpoint) Life() *Life { return e.life }

// PairProblems returns the problems with the files of an endpoint's client
// certificates.
func (h *Host) PairProblems(e *Endpoint) []*Problem { return h.faultsOf(e).pairs }

// CAProblems returns the problems that keep CAs in an endpoint's files out of its
// roots.
func (h *Host) CAProblems(e *Endpoint) []*Problem { return h.faultsOf(e).cas }

func (h *Host) faultsOf(e *Endpoint) faults {
	if i := slices.Index(h.Endpoints, e); i >= 0 && i < len(h.faults) {
		return h.faults[i]
	}
	return faults{}
}

// ServersOwn returns a problem for each identity that is the server's own
// certificate.
func (e *Endpoint) ServersOwn(server *x509.Certificate) []*Problem {
	var problems []*Problem
	for _, id := range e.Identities {
		if p := id.ServersOwn(server); p != nil {
			problems = append(problems, p)
		}
	}
	return problems
}

// validity returns the problems with the validity period or purpose of an endpoint's
// certificates. These stay in use: the server decides.
func (e *Endpoint) validity(now time.Time) []*Problem {
	var problems []*Problem
	for _, ca := range e.CAs {
		for _, cert := range ca.Certificates {
			if p := outdated(ca.File, cert, now); p != nil {
				problems = append(problems, p)
			}
		}
	}
	for _, id := range e.Identities {
		problems = append(problems, id.Problems(now)...)
	}
	return problems
}
