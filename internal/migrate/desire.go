package migrate

import (
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// host is the wanted content of a registry's hosts.toml.
type host struct {
	// registry is its name, _default for registries without a directory.
	registry string
	// hosts are asked in this order, then server.
	hosts []entry
	// server has no address in _default, where it stands for any registry.
	server entry
	// plain reports whether the server is the registry itself over HTTPS, the default
	// of hosts.toml.
	plain bool
	// from are the files and directories it was made from.
	from []string
}

// entry is one table of a hosts.toml.
type entry struct {
	address string
	trust
	// override is override_path; limited leaves only pull and resolve.
	override, limited bool
}

// asked returns the URL that the entry's requests start with.
func (e entry) asked() string { return asked(e.address, e.override) }

// files returns the files that the entry names.
func (e entry) files() []*file {
	files := slices.Clone(e.ca)
	for _, pair := range e.client {
		files = append(files, pair.cert, pair.key)
	}
	return files
}

// desirer decides what a registry's hosts.toml should say.
type desirer struct{ truster }

// desire returns the wanted hosts.toml of a registry, nil if it needs none.
func (p desirer) desire(registry string) *host {
	h := &host{registry: registry}
	endpoints, at := p.endpointsOf(registry)
	if _, said := p.cri.mirrors[registry]; said || len(endpoints) > 0 {
		h.from = append(h.from, at.file)
	}
	var entries []entry
	for _, e := range endpoints {
		entries = append(entries, p.entry(e, registry))
	}
	if registry == defaultDir || !slices.ContainsFunc(endpoints, func(e *endpoint) bool { return e.host == registry }) {
		entries = append(entries, p.itself(registry))
	}
	entries = unique(entries)
	last := len(entries) - 1
	h.hosts, h.server = entries[:last], entries[last]
	h.plain = h.server.address == "https://"+serverOf(registry)
	for _, e := range entries {
		h.from = append(h.from, e.from...)
	}
	slices.Sort(h.from)
	h.from = slices.Compact(h.from)
	if !p.matters(h) {
		return nil
	}
	p.noteRotation(h)
	return h
}

// matters reports whether the file makes a difference.
func (p desirer) matters(h *host) bool {
	if len(h.hosts) > 0 || !h.server.empty() || !h.plain && h.registry != defaultDir {
		return true
	}
	// A registry with an empty list of mirrors must not get those for all others.
	_, said := p.cri.mirrors[h.registry]
	return said && len(p.cri.mirrors["*"].endpoints) > 0
}

// endpointsOf returns the mirrors of a registry: its own or those of "*", as in
// containerd's CRI plugin. Docker's are for Docker Hub.
func (p desirer) endpointsOf(registry string) ([]*endpoint, place) {
	m, found := p.cri.mirrors[registry]
	if !found || registry == defaultDir {
		m = p.cri.mirrors["*"]
	}
	if registry != hostname.DockerHub || len(p.daemon.mirrors) == 0 {
		return m.endpoints, m.at
	}
	docker := p.daemon.mirrors
	if len(m.endpoints) == 0 {
		return docker, docker[0].at
	}
	for _, e := range docker {
		if !slices.ContainsFunc(m.endpoints, func(o *endpoint) bool { return o.asked() == e.asked() }) {
			p.notes.add(Left, e.at, "%s is not used: %s names other mirrors of %s", e.address(), m.at, hostname.DockerHub)
		}
	}
	return m.endpoints, m.at
}

// entry returns the table of a hosts.toml for an endpoint.
func (p desirer) entry(e *endpoint, registry string) entry {
	if e.dropped {
		p.notes.add(Hint, e.at, "of the address of %s only scheme, host and path are sent", e.host)
	}
	made := entry{address: e.address(), override: e.override(), limited: e.host != registry && e.host != serverOf(registry)}
	made.trust = p.trustFor(e.scheme, e.host)
	return made
}

// trustFor returns the TLS settings for a host, none for plain HTTP: with them,
// containerd takes http:// for an https:// that may fall back.
func (p truster) trustFor(scheme, host string) trust {
	if scheme == "https" {
		return p.trustOf(host)
	}
	if c, found := p.cri.tls[host]; found {
		p.notes.add(Hint, c.at, "has no effect where %s is asked in plain HTTP", host)
	}
	return trust{}
}

// itself returns the last entry, for the registry itself.
func (p desirer) itself(registry string) entry {
	if registry == defaultDir {
		e := entry{}
		if docker := p.docker[defaultDir]; docker != nil {
			e.ca, e.client, e.from = docker.ca, docker.client, docker.dirs
		}
		return e
	}
	server := serverOf(registry)
	e := entry{address: "https://" + server, trust: p.trustOf(server)}
	_, cri := p.cri.mirrors[registry]
	_, tls := p.cri.tls[registry]
	switch {
	case isLocal(registry) && (cri || tls || len(p.cri.mirrors["*"].endpoints) > 0) && p.docker[hostKey(registry)] == nil:
		// containerd's CRI plugin asks this machine over plain HTTP.
		return entry{address: "http://" + server, trust: p.trustFor("http", server)}
	case p.isInsecureOnly(server, e.trust):
		// Docker tries HTTPS first, and so does containerd with skip_verify.
		e.address = "http://" + server
	}
	return e
}

// isInsecureOnly reports whether the only setting for a host is that Docker need not
// verify it.
func (p truster) isInsecureOnly(host string, t trust) bool {
	_, insecure := p.insecure(host)
	_, cri := p.cri.tls[host]
	return insecure && !cri && t.skipVerify
}

func serverOf(registry string) string {
	if registry == hostname.DockerHub {
		return hostname.DockerHubServer
	}
	return registry
}

// unique drops entries that would ask the same endpoint twice in a row, and those that
// TOML cannot repeat.
func unique(entries []entry) []entry {
	var kept []entry
	last := entries[len(entries)-1]
	for i, e := range entries {
		again := slices.ContainsFunc(kept, func(k entry) bool { return k.asked() == e.asked() })
		beforeLast := i == len(entries)-2 && e.asked() == last.asked()
		if i == len(entries)-1 || !again && !beforeLast {
			kept = append(kept, e)
		}
	}
	return kept
}

// noteRotation notes where stock containerd does less than the tree says.
func (p desirer) noteRotation(h *host) {
	for _, e := range append(slices.Clip(h.hosts), h.server) {
		if len(e.client) < 2 {
			continue
		}
		name := e.address
		if name == "" {
			name = "every other registry"
		}
		p.notes.add(Hint, place{file: p.output}, "%s has %d client certificates: stock containerd presents one of them, "+
			"containerd with certsd one after another", strings.TrimPrefix(name, "https://"), len(e.client))
	}
}
