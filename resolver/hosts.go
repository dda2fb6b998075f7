package resolver

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/internal/bounded"
	"github.com/certsd/containerd-certsd/keys"
)

// Hosts holds the registries of a process: the content of their directories, live
// connections, and what was learned about certificates and endpoints. Use one value
// for the life of the process; its zero value reads the default roots. It is safe for
// concurrent use and must not be copied after its first use.
type Hosts struct {
	// Roots are the certs.d directories. nil means certsd.DefaultRoots.
	Roots certsd.Roots
	// SystemRoots says when the system's CA roots are used.
	SystemRoots certsd.SystemRoots
	// Keys opens keys of client certificates that are not in files. nil opens those
	// of the machine's TPM: [keys.Default].
	Keys certsd.KeyOpener
	// SuffixDirectories lets a directory _.example.com serve the hosts below
	// example.com: see certsd.Hosts.SuffixDirectories.
	SuffixDirectories bool
	// RotateOn selects the statuses that lead to the next certificate; the zero value
	// means 403 and 5xx.
	RotateOn certsd.RotateOn
	// RegistryV1 says which registries may be spoken to in the v1 protocol.
	RegistryV1 V1Policy
	// NoSchema1 refuses schema 1 manifests instead of converting them.
	NoSchema1 bool
	// Cooldown is how long an unreachable endpoint is skipped while another is left.
	// Zero means 10 seconds; a negative value disables it.
	Cooldown time.Duration
	// RefuseStranger, if set, may refuse addresses of hosts that only a server
	// names: see certsd.Transport.RefuseStranger.
	RefuseStranger func(host string, addr netip.AddrPort) error
	// Patience is how long a server may neither send nor accept data; zero means one
	// minute. Content cut off by it is requested again from there.
	Patience time.Duration
	// Hooks observe what happens. They must not block.
	Hooks Hooks

	once      sync.Once
	transport *certsd.Transport
	dead      cooldowns
	hints     hints
}

// DefaultHosts reads the default roots with the default settings.
var DefaultHosts = &Hosts{}

// WithRoots returns fresh hosts with the same settings below other roots.
func (h *Hosts) WithRoots(roots certsd.Roots) *Hosts {
	return &Hosts{
		Roots:             roots,
		SystemRoots:       h.SystemRoots,
		SuffixDirectories: h.SuffixDirectories,
		Keys:              h.Keys,
		RotateOn:          h.RotateOn,
		RegistryV1:        h.RegistryV1,
		NoSchema1:         h.NoSchema1,
		Cooldown:          h.Cooldown,
		RefuseStranger:    h.RefuseStranger,
		Patience:          h.Patience,
		Hooks:             h.Hooks,
	}
}

// RegistryHosts returns an anonymous docker.RegistryHosts for any user of
// containerd's docker resolver.
func (h *Hosts) RegistryHosts(registry string) ([]docker.RegistryHost, error) {
	return h.registryHosts(registry, Options{})
}

// RegistryHostsFor is RegistryHosts with the options of one pull or push.
func (h *Hosts) RegistryHostsFor(registry string, o Options) ([]docker.RegistryHost, error) {
	return h.registryHosts(registry, o)
}

// CloseIdleConnections closes the connections that no request is using.
func (h *Hosts) CloseIdleConnections() { h.roundTripper().CloseIdleConnections() }

// directories returns the host directories below the roots.
func (h *Hosts) directories() *certsd.Hosts { return h.roundTripper().Hosts }

func (h *Hosts) roundTripper() *certsd.Transport {
	h.once.Do(func() {
		open := h.Keys
		if open == nil {
			open = keys.Default.Open
		}
		directories := &certsd.Hosts{Roots: h.Roots, SystemRoots: h.SystemRoots, SuffixDirectories: h.SuffixDirectories, Keys: open}
		h.transport = &certsd.Transport{Hosts: directories, RotateOn: h.RotateOn, RefuseStranger: h.RefuseStranger}
		h.Hooks.observe(directories, h.transport)
		h.dead.period = h.Cooldown
	})
	return h.transport
}

// registryHosts converts the configuration of a registry for docker's resolver. A
// host directory that cannot be used makes the registry fail: it is never skipped in
// favor of the upstream.
func (h *Hosts) registryHosts(registry string, o Options) ([]docker.RegistryHost, error) {
	host, err := h.directories().Lookup(registry)
	if err != nil {
		return nil, err
	}
	return assembly{h}.endpoints(registry, host, o)
}

// assembly builds docker.RegistryHosts from the endpoints of a registry.
type assembly struct{ *Hosts }

// endpoints returns the endpoints of host, which was looked up as registry.
func (h assembly) endpoints(registry string, host *certsd.Host, o Options) ([]docker.RegistryHost, error) {
	if h.Hooks.OnUse != nil {
		h.Hooks.OnUse(host)
	}
	hosts := make([]docker.RegistryHost, 0, len(host.Endpoints))
	for _, e := range host.Endpoints {
		rh, err := h.registryHost(host, e, o, o.credentials(registry))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, rh)
	}
	return hosts, nil
}

func (h assembly) registryHost(host *certsd.Host, e *certsd.Endpoint, o Options, c credentials) (docker.RegistryHost, error) {
	e = reachable(host, e, o.PlainHTTP)
	bound := h.roundTripper().ForEndpoint(host.Name, e, private(o.Header, e.Header))
	client := &http.Client{Transport: h.transportFor(host, e, bound, o.MaxWait)}
	if o.UpdateClient != nil {
		if err := o.UpdateClient(client); err != nil {
			return docker.RegistryHost{}, err
		}
	}
	return docker.RegistryHost{
		Client:       client,
		Authorizer:   newAuthorizer(bound, e, client, c, h.mayGrant(e)),
		Host:         e.Host,
		Scheme:       e.Scheme,
		Path:         e.Path,
		Capabilities: docker.HostCapabilities(e.Capabilities),
		Header:       e.Header,
	}, nil
}

// clientForStrangers returns a client for hosts that are not endpoints of a registry:
// each is used as configured in the directory of its own name.
func (h assembly) clientForStrangers(o Options) (*http.Client, error) {
	client := &http.Client{Transport: bounded.Contents(&bounded.Transport{Next: h.roundTripper(), Patience: h.Patience, MaxWait: o.MaxWait})}
	if o.UpdateClient == nil {
		return client, nil
	}
	return client, o.UpdateClient(client)
}

// private returns the headers meant for the endpoint alone. They include those of its
// directory, as those may change while docker's resolver keeps sending the ones the
// pull began with.
func private(headers ...http.Header) http.Header {
	all := http.Header{}
	for _, h := range headers {
		for k, v := range h {
			k = http.CanonicalHeaderKey(k)
			all[k] = append(all[k], v...)
		}
	}
	return all
}

// transportFor wraps the transport of an endpoint with everything that concerns
// reaching it and its answers. Their order matters; from the connection outwards:
//
//   - bound verifies the server and presents one certificate after the other, so
//     that all the others see one request and one answer;
//   - plainFallback repeats a request where the server does not speak HTTPS. If
//     that succeeds, the endpoint must not count as dead;
//   - guard remembers dead endpoints. It is inside bounded, whose waits are no
//     sign of death: a server that is slow, or asks for time, is alive;
//   - locations restores the registry's own URL from the one given to the pusher.
//     It is inside bounded, so that a repeated upload has its URL restored, too;
//   - bounded repeats requests answered with 429 and restarts downloads, with all
//     of the above for each attempt, and bounds every body that is read;
//   - unsigned labels the span of a request once, however often bounded repeats it;
//   - objects reads manifests, and makes further requests for them. Those need
//     the bounds, the waits and the certificates of everything below.
//
// The http.Client around it follows redirects: each hop passes through all of these.
func (h assembly) transportFor(host *certsd.Host, e *certsd.Endpoint, bound *certsd.EndpointTransport, maxWait time.Duration) http.RoundTripper {
	rt := http.RoundTripper(bound)
	if mayFallBack(e) {
		rt = &plainFallback{base: rt, host: e.Host}
	}
	rt = &unsigned{&bounded.Transport{
		Next:     &locations{h.dead.guard(rt, address(e), substitutes(host, e)), address(e)},
		Patience: h.Patience,
		MaxWait:  maxWait,
	}}
	return &objects{next: rt, host: e.Host, path: e.Path}
}

func address(e *certsd.Endpoint) string { return e.Scheme + "://" + e.Host }

// substitutes returns the endpoints that can be asked in place of e.
func substitutes(host *certsd.Host, e *certsd.Endpoint) []string {
	reading := e.Capabilities & (hoststoml.Pull | hoststoml.Resolve)
	var others []string
	for _, other := range host.Endpoints {
		if a := address(other); a != address(e) && other.Capabilities&reading == reading {
			others = append(others, a)
		}
	}
	return others
}

// reachable applies what a client may request for a registry without a directory:
// plain HTTP, and for a registry on this machine no verification, as in Docker and
// containerd.
func reachable(host *certsd.Host, e *certsd.Endpoint, plainHTTP bool) *certsd.Endpoint {
	if host.Dir != "" {
		return e
	}
	wished := *e
	wished.SkipVerify = e.SkipVerify || e.Localhost
	_, port, err := net.SplitHostPort(e.Host)
	if plainHTTP || e.Localhost && err == nil && port == "80" {
		wished.Scheme = "http"
	}
	return &wished
}
