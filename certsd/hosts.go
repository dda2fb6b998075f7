package certsd

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// Hosts finds what is configured for a registry and keeps it until a file
// changes. Its zero value searches [DefaultRoots]. It is meant to live as long
// as the process; its methods may be called concurrently. The fields must not
// be changed after the first call.
//
// A lookup of an unchanged host costs a stat of each of its files and reads
// none. Changed files give a new Host; what did not change in it, down to the
// single [Endpoint], stays the same value with its live connections.
type Hosts struct {
	// Roots are the certs.d directories. nil means DefaultRoots.
	Roots Roots
	// SystemRoots is "fallback", the meaning of the empty string, to verify a
	// server against the system's CA roots only where no others are
	// configured, or "append" to accept the system's beside the configured
	// ones. The system_roots of a hosts.toml goes before it.
	SystemRoots string

	// OnReload, if set, is told of each change of a host that was looked up
	// before, and of each change that could not be taken over. It is called by
	// the lookup that met the change, once.
	OnReload func(Reload)
	// OnWarning, if set, is told of each problem that does not keep a host from
	// being used at the first lookup of the host. One about a root that cannot
	// be searched is told once and with an empty host.
	OnWarning func(host string, problem error)

	disk   disk
	once   sync.Once
	dirs   directories
	system systemBundle
	hosts  lru[*cachedHost]
	search Roots

	// tls are the hosts a Transport must not speak plain HTTP with.
	tls tlsMemory

	// mu guards rootProblems, by root that could not be searched, and told,
	// those of them that were told.
	mu           sync.Mutex
	rootProblems map[string]*Problem
	told         map[*Problem]bool
}

// Reload is a change of what is configured for a host.
type Reload struct {
	// Host is the canonical name, Dir the directory.
	Host, Dir string
	// Changed tells that another value is in use than before.
	Changed bool
	// Err is what could not be taken over: the last good content stays in use
	// for it as long as its files are there.
	Err error
	// Warnings are the problems that were not there before.
	Warnings []error
}

// cachedHost is what is known about one registry.
type cachedHost struct {
	place place

	// mu guards what follows. It is held while the directories are looked at.
	mu    sync.Mutex
	found *resolution
	// host is the last usable value; with err it must not be used any more.
	host *Host
	err  error
	// kept tells that host is older than found, which cannot be used because
	// of failure.
	kept    bool
	failure error
	// noSystem tells that the system's CA roots are of no concern.
	noSystem bool
	// endpoints are the places of the endpoints of config.
	config    *hostsFile
	endpoints []*place
}

// Lookup returns what is configured for a registry, host or host:port: its own
// directory in any root, else a _default directory, else a Host that is just
// the registry itself with the system's CA roots and an empty Dir.
//
// The error names the registry, and each file with its problem. It is the same
// until a file changes.
func (h *Hosts) Lookup(name string) (*Host, error) {
	c, err := h.entry(name)
	if err != nil {
		return nil, err
	}
	return h.lookup(c)
}

// Own returns what the directory named after host[:port] says, nil if there is
// no such directory. It never uses a _default directory: it is for hosts that
// a server names, such as a redirect's target or a token server. The last
// endpoint is the host itself.
func (h *Hosts) Own(hostport string) (*Host, error) {
	c, err := h.entry(hostport)
	if err != nil {
		return nil, err
	}
	host, err := h.lookup(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !says(c.found.exact) && err != nil:
		// It is a _default directory that cannot be used.
		return nil, nil
	case err != nil:
		return nil, err
	}
	return host.own, host.ownErr
}

// SystemPool returns the system's CA roots as they are on the disk now. It is
// shared: clone it to add to it.
func (h *Hosts) SystemPool() (*x509.CertPool, error) {
	h.init()
	system, err := h.system.get()
	if err != nil {
		return nil, fmt.Errorf("the system's CA roots: %w", err)
	}
	return system.pool, nil
}

func (h *Hosts) init() {
	h.once.Do(func() {
		h.search = h.Roots
		if h.search == nil {
			h.search = DefaultRoots()
		}
		h.dirs.disk, h.system.disk = h.disk, h.disk
		h.hosts.limit, h.dirs.cache.limit = maxCached, maxCached
	})
}

func (h *Hosts) roots() Roots { return h.search }

func (h *Hosts) entry(name string) (*cachedHost, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return nil, err
	}
	h.init()
	c, evicted := h.hosts.get(name, func() *cachedHost {
		return &cachedHost{place: h.place(canonical, name)}
	})
	for _, old := range evicted {
		old.mu.Lock()
		retire(old.host, nil)
		old.mu.Unlock()
	}
	return c, nil
}

func (h *Hosts) lookup(c *cachedHost) (*Host, error) {
	c.mu.Lock()
	host, err, reload := h.refresh(c)
	c.mu.Unlock()
	// The hooks may call back.
	if reload != nil {
		h.report(reload)
	}
	return host, err
}

// report calls the hooks.
func (h *Hosts) report(r *report) {
	var warnings []error
	for _, warning := range r.Warnings {
		about, tell := h.audience(r.Host, warning)
		switch {
		case !tell || h.OnWarning == nil && (r.first || about == ""):
		case r.first || about == "":
			h.OnWarning(about, warning)
		default:
			warnings = append(warnings, warning)
		}
	}
	r.Warnings = warnings
	if !r.first && h.OnReload != nil {
		h.OnReload(r.Reload)
	}
}

// audience tells whether a warning is still to be told, and about which host:
// one about a root is told once for all hosts.
func (h *Hosts) audience(host string, warning error) (string, bool) {
	p, ok := errors.AsType[*Problem](warning)
	if !ok {
		return host, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rootProblems[p.File] != p {
		return host, true
	}
	if h.told[p] {
		return "", false
	}
	if h.told == nil {
		h.told = make(map[*Problem]bool)
	}
	h.told[p] = true
	return "", true
}

// report is a Reload, or the first load.
type report struct {
	Reload
	first bool
}

// refresh brings c up to date. The error is for the caller alone; a report is
// there if something is new.
func (h *Hosts) refresh(c *cachedHost) (*Host, error, *report) { //nolint:revive // three results in the order of their use
	found := h.resolve(c)
	if c.found != nil && found.equal(c.found) && !(c.kept && c.removed(h.disk)) {
		return c.host, c.err, nil
	}
	if c.noSystem {
		found.system, found.systemErr = h.system.get()
	}
	b := builder{name: c.place.canonical, found: found, append: h.SystemRoots == "append"}
	host, err := b.build()
	first := c.found == nil
	c.found = found
	c.noSystem = err == nil && !slices.ContainsFunc(host.all(), func(e *Endpoint) bool { return e.system != nil })
	if err != nil {
		return h.failed(c, err, first)
	}
	old, oldErr := c.host, c.failure
	c.kept, c.err, c.failure = false, nil, nil
	c.host = reuse(old, host)
	r := &report{first: first, Reload: Reload{
		Host: host.Name, Dir: host.Dir, Changed: old == nil || oldErr != nil || !sameSettings(old, c.host),
	}}
	var kept []error
	for _, warning := range c.host.Warnings {
		if old != nil && containsText(old.Warnings, warning) {
			continue
		}
		r.Warnings = append(r.Warnings, warning)
		if p, ok := errors.AsType[*Problem](warning); ok && p.kept {
			kept = append(kept, warning)
		}
	}
	r.Err = errors.Join(kept...)
	if old != c.host {
		retire(old, c.host)
	}
	if !first && !r.Changed && r.Err == nil && len(r.Warnings) == 0 {
		return c.host, nil, nil
	}
	return c.host, nil, r
}

// failed goes on with the last good host where there is one. A file of it that
// was removed must not be used any more: then there is no host.
func (h *Hosts) failed(c *cachedHost, err error, first bool) (*Host, error, *report) { //nolint:revive // as refresh
	told := c.failure != nil && c.failure.Error() == err.Error()
	c.failure, c.err = err, nil
	if c.host == nil || c.removed(h.disk) {
		retire(c.host, nil)
		told = told && c.host == nil
		c.host, c.err, c.kept = nil, err, false
	} else {
		c.kept = true
	}
	if first || told {
		return c.host, c.err, nil
	}
	dir := ""
	if len(c.found.main) > 0 {
		dir = c.found.main[0].Path
	}
	return c.host, c.err, &report{Reload: Reload{Host: c.place.canonical, Dir: dir, Err: err}}
}

// removed tells that a file of the host is gone.
func (c *cachedHost) removed(d disk) bool {
	gone := func(path string) bool {
		_, err := d.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	}
	for _, e := range c.host.all() {
		for _, ca := range e.CAs {
			if gone(ca.File) {
				return true
			}
		}
		for _, id := range e.Identities {
			if gone(id.CertFile) || gone(id.KeyFile) {
				return true
			}
		}
	}
	return false
}

// endpointPlace is where the directory of an endpoint of hosts.toml may be;
// nil for the registry itself.
func (c *cachedHost) endpointPlace(h *Hosts, config *hostsFile, i int) *place {
	if c.config != config {
		c.config, c.endpoints = config, nil
		for _, e := range config.endpoints {
			var p *place
			if canonical, err := Canonical(e.host); err == nil && canonical != c.place.canonical {
				found := h.place(canonical, e.host)
				p = &found
			}
			c.endpoints = append(c.endpoints, p)
		}
	}
	return c.endpoints[i]
}

// all are the endpoints of the host and of what Own returns for it.
func (h *Host) all() []*Endpoint {
	if h == nil {
		return nil
	}
	if h.own == nil || h.own == h {
		return h.Endpoints
	}
	return slices.Concat(h.Endpoints, h.own.Endpoints)
}

// reuse keeps of the old host what the new one has as well: endpoint by
// endpoint, and the host itself if nothing is different.
func reuse(old, host *Host) *Host {
	if old == nil {
		return host
	}
	known := old.all()
	same := keepEndpoints(known, host) && sameHost(old, host)
	if host.own != nil && host.own != host {
		same = keepEndpoints(known, host.own) && old.own != nil && old.own != old && sameHost(old.own, host.own) && same
	} else {
		same = same && (host.own == nil) == (old.own == nil) && (old.own == nil || old.own == old)
	}
	same = same && sameText(old.ownErr, host.ownErr)
	if same {
		return old
	}
	return host
}

// keepEndpoints puts known endpoints in the place of equal ones and tells
// whether all were known.
func keepEndpoints(known []*Endpoint, host *Host) bool {
	all := true
	for i, e := range host.Endpoints {
		j := slices.IndexFunc(known, func(k *Endpoint) bool { return sameEndpoint(k, e) })
		if j < 0 {
			all = false
			continue
		}
		host.Endpoints[i] = known[j]
	}
	return all
}

// sameSettings tells that two hosts differ in their warnings at most.
func sameSettings(a, b *Host) bool {
	return a.Dir == b.Dir && a.Fallback == b.Fallback && a.Own == b.Own && a.RegistryV1 == b.RegistryV1 &&
		slices.Equal(a.RotateOn, b.RotateOn) && slices.Equal(a.Endpoints, b.Endpoints)
}

func sameHost(a, b *Host) bool {
	return sameSettings(a, b) &&
		slices.EqualFunc(a.Warnings, b.Warnings, func(x, y error) bool { return x.Error() == y.Error() })
}

func sameText(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

func containsText(errs []error, err error) bool {
	return slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() })
}

// retire closes the idle connections of the endpoints that host no longer has.
func retire(old, host *Host) {
	kept := host.all()
	for _, e := range old.all() {
		if !slices.Contains(kept, e) {
			e.state.retire()
		}
	}
}
