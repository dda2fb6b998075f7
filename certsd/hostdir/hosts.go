package hostdir

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Hosts finds the configuration of a registry and keeps it until a file changes. Its
// zero value searches [DefaultRoots]. It is meant to live as long as the process; its
// methods may be called concurrently. Do not change the fields after the first call.
//
// A lookup of an unchanged host costs a stat of each of its files and reads none.
// Changed files yield a new Host; its unchanged parts, down to the single [Endpoint],
// stay the same values, which keeps connections to them open.
type Hosts struct {
	// Roots are the certs.d directories. nil means DefaultRoots.
	Roots Roots
	// SystemRoots says when a server is verified against the system's CA roots;
	// system_roots in a hosts.toml overrides it.
	SystemRoots SystemRoots
	// SuffixDirectories lets a directory _.example.com serve every host below
	// example.com that has no directory of its own, before _default. Like _default,
	// it is not any host's own directory: see [Hosts.Own].
	SuffixDirectories bool
	// Keys opens keys that are in TPMs and tokens instead of files. nil opens none.
	Keys KeyOpener

	// Hooks observe the lookups.
	Hooks Hooks

	disk   disk
	once   sync.Once
	dirs   directories
	system *systemBundle
	// listings is shared by the inspections.
	listings *listings
	hosts    lru[*cachedHost]
	search   Roots

	// mu guards rootProblems, which holds the problems with roots that cannot be
	// searched, and told, those already reported.
	mu           sync.Mutex
	rootProblems map[string]*Problem
	told         map[*Problem]bool
}

// Lookup returns the configuration of a registry, given as host or host:port: its own
// directory in any root, else with SuffixDirectories the one for the longest domain
// above it, else a _default directory, else a Host with just the registry itself, the
// system's CA roots and an empty Dir.
//
// If several directories are named after the registry, the first with a hosts.toml
// supplies that file, and the Docker files of all are used: a file hides the one of the
// same name in a later root. A directory without a *.crt, *.cert, *.key or hosts.toml
// hides nothing: another root's directory or a _default one is used, though [Host.Own]
// reports that the registry has its own directory.
//
// An error means that nothing may be used, not even a Host from an earlier call: if
// that may stay in use, it is returned instead of an error.
//
// The error names the registry, and each file with its problem. It is the same until a
// file changes.
func (h *Hosts) Lookup(name string) (*Host, error) {
	return h.lookupIn(context.Background(), name)
}

// LookupContext is [Hosts.Lookup] for a request made with ctx: the first call returns
// what [Hosts.LookupFor] found.
func (h *Hosts) LookupContext(ctx context.Context, name string) (*Host, error) {
	if host := hostAhead(ctx, h, name); host != nil {
		return host, nil
	}
	return h.lookupIn(ctx, name)
}

func (h *Hosts) lookupIn(ctx context.Context, name string) (*Host, error) {
	c, err := h.entry(name)
	if err != nil {
		return nil, err
	}
	return h.lookup(ctx, c, false)
}

// Own returns the configuration in the directory named after host[:port], nil if there
// is no such directory. It never uses a _default directory: it serves for hosts that a
// server names, such as a redirect's target or a token server. The last endpoint is the
// host itself.
func (h *Hosts) Own(hostport string) (*Host, error) {
	return h.OwnContext(context.Background(), hostport)
}

// OwnContext is [Hosts.Own] for a request made with ctx.
func (h *Hosts) OwnContext(ctx context.Context, hostport string) (*Host, error) {
	c, err := h.entry(hostport)
	if err != nil {
		return nil, err
	}
	host, err := h.lookup(ctx, c, true)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !says(c.found.exact) && err != nil:
		// The unusable directory is a _default one.
		return nil, nil
	case err != nil:
		return nil, err
	}
	return host.own, host.ownErr
}

// SystemPool returns the system's CA roots as they are on the disk now. The pool is
// shared: clone it before adding to it.
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
		h.dirs.disk, h.dirs.keys = h.disk, h.Keys
		if h.system == nil {
			h.system, h.listings = &systemBundle{disk: h.disk}, &listings{disk: h.disk}
		}
		h.hosts.limit, h.dirs.cache.limit = maxCached, maxCached
	})
}

func (h *Hosts) roots() Roots { return h.search }

func (h *Hosts) entry(name string) (*cachedHost, error) {
	canonical, err := hostname.Canonical(name)
	if err != nil {
		return nil, err
	}
	h.init()
	c, evicted := h.hosts.get(canonical, func() *cachedHost {
		return &cachedHost{place: hostname.PlaceOf(canonical)}
	})
	for _, old := range evicted {
		old.mu.Lock()
		retire(old.host, nil)
		old.mu.Unlock()
	}
	return c, nil
}

// lookup brings a cached host up to date. own reports whether the caller asks only for
// the host's own directory.
func (h *Hosts) lookup(ctx context.Context, c *cachedHost, own bool) (*Host, error) {
	start := h.disk.Now()
	c.mu.Lock()
	news := refresher{h}.refresh(c)
	host, err := c.host, c.err
	c.mu.Unlock()
	// The hooks may call back, hence without the lock.
	if news != nil {
		told := announcer{h}
		told.report(news)
		told.loaded(ctx, news, own, start)
	}
	return host, err
}
