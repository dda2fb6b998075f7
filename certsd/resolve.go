package certsd

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
)

// dockerHub is the reference name of Docker's registry, hubServer the host
// that serves it.
const (
	dockerHub = "docker.io"
	hubServer = "registry-1.docker.io"
)

// place is the name of a registry and the paths at which its directory may be.
type place struct {
	canonical string
	// given is the name as it was asked for.
	given string
	paths []string
}

func (h *Hosts) place(canonical, given string) place {
	names := dirNames(runtime.GOOS, canonical, given)
	if canonical == dockerHub {
		names = append(names, hubServer)
	}
	p := place{canonical: canonical, given: given}
	for _, root := range h.roots() {
		for _, name := range names {
			p.paths = append(p.paths, filepath.Join(root, name))
		}
	}
	return p
}

// resolution is what there is for a registry: the directories and the version
// of each. Two that are equal give the same Host.
type resolution struct {
	// exact are the directories named after the registry, in the order of the
	// roots, and main those that count: exact, or the _default ones if exact
	// have nothing to say.
	exact, main []*Directory
	fallback    bool
	// config is the directory in main of which hosts.toml is used, nil if
	// there is none.
	config *Directory
	// endpoints are, for each endpoint of config, the directories whose Docker
	// files it uses.
	endpoints [][]*Directory
	system    *systemRoots
	systemErr error
	// problems are about roots that cannot be searched.
	problems []*Problem
	// files is how many files had to be read.
	files int
	// stamps are what was looked at, but for the system's CA roots: as long as
	// that looks the same, this is what there is. absences are what was not
	// found, and become stamps at the end.
	stamps   []stamp
	absences absences
}

func (r *resolution) equal(s *resolution) bool {
	return slices.Equal(r.exact, s.exact) && slices.Equal(r.main, s.main) &&
		slices.EqualFunc(r.endpoints, s.endpoints, slices.Equal[[]*Directory]) &&
		slices.Equal(r.problems, s.problems) && r.system == s.system && (r.systemErr == nil) == (s.systemErr == nil)
}

// resolve looks at the directories for a registry.
func (h *Hosts) resolve(c *cachedHost) *resolution {
	r := new(resolution)
	r.exact = h.find(r, c.place.paths)
	r.main = r.exact
	var defaults []*Directory
	looked := false
	fallback := func() []*Directory {
		if !looked {
			defaults, looked = h.find(r, h.defaults()), true
		}
		return defaults
	}
	if !says(r.exact) && says(fallback()) {
		r.main, r.fallback = defaults, true
	}
	for _, dir := range r.main {
		if dir.hosts {
			r.config = dir
			break
		}
	}
	if r.config != nil && r.config.config != nil {
		for i, e := range r.config.config.endpoints {
			own := r.exact
			if p := c.endpointPlace(h, r.config.config, i); p != nil {
				own = h.find(r, p.paths)
			}
			if !says(own) && e.scheme != "http" {
				// Plain HTTP is asked for in so many words: what is for any
				// registry does not turn it into HTTPS.
				own = fallback()
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

// find returns the directories among the paths that exist.
func (h *Hosts) find(r *resolution, paths []string) []*Directory {
	var dirs []*Directory
	for _, path := range paths {
		absent := r.absences.enter(h.disk, path)
		info, err := h.disk.Stat(path)
		if err == nil && info.IsDir() {
			dir, stamps, read := h.dirs.get(path, info)
			dirs = append(dirs, dir)
			r.stamps = append(r.stamps, stamps...)
			r.files += read
			continue
		}
		now := h.disk.stampOf(path, info, err)
		switch {
		case isAbsent(err):
			absent.paths = append(absent.paths, now)
			h.dirs.forget(path)
		case err == nil:
			r.stamps = append(r.stamps, now)
			h.dirs.forget(path)
		default:
			r.stamps = append(r.stamps, now)
			if p := h.rootProblem(filepath.Dir(path), err); !slices.Contains(r.problems, p) {
				r.problems = append(r.problems, p)
			}
		}
	}
	return dirs
}

// rootProblem is the one problem with a root that cannot be searched.
func (h *Hosts) rootProblem(root string, err error) *Problem {
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

func (h *Hosts) defaults() []string {
	var paths []string
	for _, root := range h.roots() {
		paths = append(paths, filepath.Join(root, defaultDir))
	}
	return paths
}

// says tells whether there is anything that counts in the directories.
func says(dirs []*Directory) bool {
	return slices.ContainsFunc(dirs, func(d *Directory) bool { return d.says })
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
