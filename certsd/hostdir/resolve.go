package hostdir

import (
	"fmt"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// finder looks for the directories of a registry.
type finder struct{ *Hosts }

// paths returns the paths of a place in all roots.
func (h finder) paths(p hostname.Place) []string {
	var paths []string
	for _, root := range h.roots() {
		paths = append(paths, p.In(root, h.listings.get(root).spelt)...)
	}
	return paths
}

// resolution is what exists for a registry: the directories and the version of each.
// Equal resolutions yield the same Host.
type resolution struct {
	// exact are the directories named after the registry, in the order of the roots.
	// main are those in use: exact or, if these have no content, those for a domain
	// above the registry, or the _default ones.
	exact, main []*Directory
	fallback    bool
	// config is the directory in main whose hosts.toml is used, nil if there is
	// none.
	config *Directory
	// endpoints are, for each endpoint of config, the directories whose Docker
	// files it uses.
	endpoints [][]*Directory
	system    *systemRoots
	systemErr error
	// problems concern roots that cannot be searched.
	problems []*Problem
	// files is the number of files that had to be read.
	files int
	// stamps are the paths that were looked at, except the system's CA roots: as long
	// as they look the same, the resolution is up to date. absences are the paths that
	// were not found; they become stamps at the end.
	stamps   []stamp
	absences absences
}

func (r *resolution) equal(s *resolution) bool {
	return slices.Equal(r.exact, s.exact) && slices.Equal(r.main, s.main) &&
		slices.EqualFunc(r.endpoints, s.endpoints, slices.Equal[[]*Directory]) &&
		slices.Equal(r.problems, s.problems) && r.system == s.system && (r.systemErr == nil) == (s.systemErr == nil)
}

// resolve looks at the directories for a registry.
func (h finder) resolve(c *cachedHost) *resolution {
	r := new(resolution)
	r.exact = h.find(r, c.place)
	r.main = r.exact
	var defaults []*Directory
	looked := false
	// fallback returns the directories for a registry or endpoint that has none of its
	// own.
	fallback := func(registry string) []*Directory {
		if dirs := h.findSuffix(r, registry); dirs != nil {
			return dirs
		}
		if !looked {
			defaults, looked = h.find(r, hostname.DefaultPlace), true
		}
		return defaults
	}
	if !says(r.exact) {
		if dirs := fallback(c.place.Registry); says(dirs) {
			r.main, r.fallback = dirs, true
		}
	}
	for _, dir := range r.main {
		if dir.hosts {
			r.config = dir
			break
		}
	}
	if r.config != nil && r.config.config != nil {
		for i, e := range r.config.config.endpoints {
			own, name := r.exact, c.place.Registry
			if p := c.endpointPlace(r.config.config, i); p != nil {
				own, name = h.find(r, *p), p.Registry
			}
			if !says(own) && e.Scheme != "http" {
				// Plain HTTP is configured explicitly: settings for every registry do
				// not turn it into HTTPS.
				own = fallback(name)
			}
			r.endpoints = append(r.endpoints, own)
		}
	}
	r.stamps, r.absences = append(r.stamps, r.absences.stamps(h.disk)...), nil
	if c.noSystem {
		r.system, r.systemErr = c.found.system, c.found.systemErr
	} else {
		r.system, r.systemErr = h.system.get()
	}
	return r
}

// find returns the directories of a place that exist.
func (h finder) find(r *resolution, p hostname.Place) []*Directory {
	var dirs []*Directory
	for _, root := range h.roots() {
		// Stamp the root before looking at its content, to notice later changes.
		absent := r.absences.enter(h.disk, root)
		var spelt map[string][]string
		at := p
		if len(p.Keys) > 0 && absent.root.err == nil {
			listing := h.listings.get(root)
			spelt = listing.spelt
			absent.listed = true
			if p.Suffix != "" && listing.err == nil {
				// Use the listing instead of a stat each: there may be many domains to
				// look for.
				at, spelt = listed(p, spelt), nil
			}
		}
		if p.Suffix != "" && isAbsent(absent.root.err) {
			continue
		}
		for _, path := range at.In(root, spelt) {
			info, err := h.disk.Stat(path)
			if err == nil && info.IsDir() {
				dir, stamps, read := h.dirs.get(path, info)
				dirs = append(dirs, dir)
				r.stamps = append(r.stamps, stamps...)
				r.files += read
				continue
			}
			h.missed(r, root, h.disk.stampOf(path, info, err))
		}
	}
	return dirs
}

// listed returns those of a place's directories that are in a root, in order of
// precedence.
func listed(p hostname.Place, spelt map[string][]string) hostname.Place {
	var there hostname.Place
	for _, key := range p.Keys {
		there.Names = append(there.Names, spelt[key]...)
	}
	rank := func(name string) int {
		if i := slices.Index(p.Names, name); i >= 0 {
			return i
		}
		return len(p.Names)
	}
	slices.SortStableFunc(there.Names, func(a, b string) int { return rank(a) - rank(b) })
	return there
}

// findSuffix returns the directories of the longest domain above a registry for which
// any has content, nil for none or if suffix directories are not enabled.
func (h finder) findSuffix(r *resolution, registry string) []*Directory {
	if !h.SuffixDirectories {
		return nil
	}
	for _, p := range hostname.SuffixPlaces(registry) {
		if dirs := h.find(r, p); says(dirs) {
			return dirs
		}
	}
	return nil
}

// missed records that a path is not a directory.
func (h finder) missed(r *resolution, root string, now stamp) {
	switch {
	case isAbsent(now.err):
		absent := r.absences.enter(h.disk, root)
		absent.paths = append(absent.paths, now)
		h.dirs.forget(now.path)
	case now.err == nil:
		r.stamps = append(r.stamps, now)
		h.dirs.forget(now.path)
	default:
		r.stamps = append(r.stamps, now)
		if p := h.rootProblem(root, now.err); !slices.Contains(r.problems, p) {
			r.problems = append(r.problems, p)
		}
	}
}

// rootProblem returns the problem for a root that cannot be searched, always the same
// one.
func (h finder) rootProblem(root string, err error) *Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.rootProblems[root]
	if p == nil {
		if h.rootProblems == nil {
			h.rootProblems = make(map[string]*Problem)
		}
		p = &Problem{Severity: Warning, Code: RootUnreadable, File: root, Err: fmt.Errorf("cannot search the certs.d directory: %w", cause(err))}
		h.rootProblems[root] = p
	}
	return p
}

// says reports whether anything in the directories is used.
func says(dirs []*Directory) bool {
	return slices.ContainsFunc(dirs, func(d *Directory) bool { return d.says })
}

// endpointPlace returns where the directory of endpoint i of hosts.toml may be, nil for
// the registry itself.
func (c *cachedHost) endpointPlace(config *hostsFile, i int) *hostname.Place {
	if c.config != config {
		c.config, c.endpoints = config, nil
		for _, e := range config.endpoints {
			var p *hostname.Place
			if canonical, err := hostname.Canonical(e.Host); err == nil && canonical != c.place.Registry {
				found := hostname.PlaceOf(canonical)
				p = &found
			}
			c.endpoints = append(c.endpoints, p)
		}
	}
	return c.endpoints[i]
}
