package status

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/resolver"
)

// Daemon is what a daemon knows about itself.
type Daemon struct {
	// Kind is [Plugin], [Gateway] or [ImageService].
	Kind            string
	Version         string
	Containerd, CRI string
	// Roots are its certs.d directories.
	Roots certsd.Roots
	// Hosts are the ones whose endpoints may be passed over for a while.
	Hosts []*resolver.Hosts
	// Secret, Store and Spool are set for a gateway.
	Secret       *Secret
	Store, Spool *Usage
}

// Snapshot returns the present status. It checks the files of each registry as a pull
// would, with a few stats as long as they do not change.
func (s *State) Snapshot(d Daemon) *Status {
	now := s.now()
	st := &Status{
		Schema: Schema, Daemon: d.Kind, Version: d.Version, Containerd: d.Containerd, CRI: d.CRI,
		Since: s.since, Now: now, Roots: d.Roots, Proxy: proxies(os.Getenv),
		Secret: d.Secret, Store: d.Store, Spool: d.Spool,
		Needs: []Need{}, Registries: []Registry{}, Servers: []Server{},
	}
	if v := s.version.Load(); v != nil && st.Version == "" {
		st.Version = *v
	}
	told := description{s}
	for _, u := range s.InUse() {
		if len(st.Registries) >= maxHosts {
			st.Omitted++
			continue
		}
		st.Registries = append(st.Registries, told.describe(u, now))
	}
	st.Idle = idle(d.Roots, st.Registries)
	st.Servers = append(st.Servers, told.describeServers()...)
	st.Work = told.describeWork()
	for _, hosts := range d.Hosts {
		for _, o := range hosts.Outages() {
			st.Resting = append(st.Resting, Resting{Endpoint: o.Endpoint, Since: o.At, Until: o.Until, Cause: safetext.Line(o.Err.Error(), maxText)})
		}
	}
	s.descriptions.forget()
	st.Needs = append(st.Needs, needs(st)...)
	return st
}

// description turns the state into descriptions.
type description struct{ *State }

// describe describes a registry.
func (s description) describe(u InUse, now time.Time) Registry {
	r := Registry{Name: u.Name, Memory: u.memory, Repositories: u.repos}
	slices.SortFunc(r.Repositories, func(a, b Repository) int { return strings.Compare(a.Name, b.Name) })
	if u.Err != nil {
		r.Error = safetext.Line(u.Err.Error(), maxText)
		return r
	}
	r.Directory, r.Fallback = safetext.Line(u.Host.Dir, 0), u.Host.Fallback
	r.Endpoints = s.describeEndpoints(u.Host, now)
	return r
}

func (s description) describeServers() []Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	var servers []Server
	for _, host := range slices.Sorted(maps.Keys(s.servers)) {
		v := s.servers[host]
		described := Server{Host: safetext.Line(host, maxText), Refusals: maps.Clone(v.refusals)}
		if v.cert != nil {
			seen, cert := v.seen, s.descriptions.of(v.cert)
			described.Seen, described.Certificate = &seen, &cert
		}
		if v.ca != nil {
			ca := s.descriptions.of(v.ca)
			described.CA = &ca
		}
		servers = append(servers, described)
	}
	return servers
}

// Seen is what is known of a server.
type Seen struct {
	Host string
	// Certificate is its own, CA the root that verified it, nil for none, and CAFile
	// the file of that, empty for a system root.
	Certificate, CA *x509.Certificate
	CAFile          string
	// Accepted holds when client certificates were last accepted, by name.
	Accepted map[string]time.Time
}

// Servers returns the servers that were connected to, in no particular order.
func (s *State) Servers() []Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Seen, 0, len(s.servers))
	for host, v := range s.servers {
		seen := Seen{Host: host, Certificate: v.cert, CA: v.ca, CAFile: v.caFile, Accepted: map[string]time.Time{}}
		for id, a := range v.answers {
			if a.accepted.After(seen.Accepted[id.name]) {
				seen.Accepted[id.name] = a.accepted
			}
		}
		all = append(all, seen)
	}
	return all
}

// Serial returns a serial number as openssl x509 -serial prints it.
func Serial(c *x509.Certificate) string {
	text := strings.ToUpper(c.SerialNumber.Text(16))
	if len(text)%2 == 1 {
		text = "0" + text
	}
	return text
}

// idle returns the registries with a directory that are not in use. It lists the roots
// and reads no files.
func idle(roots certsd.Roots, registries []Registry) []string {
	used := make(map[string]bool, len(registries))
	for _, r := range registries {
		used[r.Name] = true
	}
	names, _ := (&certsd.Hosts{Roots: roots}).Names() // from roots that can be listed
	names = slices.DeleteFunc(names, func(name string) bool { return used[name] })
	return names[:min(len(names), maxHosts)]
}

// proxies returns the environment's proxy variables, without user and password.
func proxies(getenv func(string) string) map[string]string {
	set := map[string]string{}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		value := getenv(name)
		if value == "" {
			value = getenv(strings.ToLower(name))
		}
		switch {
		case value == "":
		case name == "NO_PROXY":
			set[name] = safetext.Line(value, maxText)
		default:
			set[name] = safetext.Proxy(value)
		}
	}
	return set
}

// ProxyOf returns the proxy for an endpoint, without user and password, empty for none.
func ProxyOf(ep *certsd.Endpoint) string {
	u, err := ep.Proxy.For(&http.Request{URL: &url.URL{Scheme: ep.Scheme, Host: ep.Host}})
	if err != nil || u == nil {
		return ""
	}
	return safetext.Origin(u)
}
