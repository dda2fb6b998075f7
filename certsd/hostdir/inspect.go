package hostdir

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Inspection is a full account of a registry's configuration: what was looked for, what
// was found and what is wrong with it.
type Inspection struct {
	// Name is the canonical name.
	Name string
	// Candidates are the directories that were looked for, in order; those of servers
	// named in hosts.toml come last.
	Candidates []Candidate
	// Host is the configuration in use; if it is nil, Err says why.
	Host *Host
	Err  error
	// Problems are all problems found, failures first, including some that do not
	// affect a lookup: certificates that expire, directories whose names look like a
	// spelling of this one.
	Problems []*Problem
}

// Candidate is a directory that was looked for.
type Candidate struct {
	Path string
	// For is the host that the directory is named after, _.example.com[:port] if it
	// serves every host below a domain, empty for _default.
	For string
	// State says what was found.
	State CandidateState
	// Files are the names in the directory.
	Files []string
}

// CandidateState says whether a directory exists and is used.
type CandidateState string

// The states of a [Candidate].
const (
	// Absent: there is no such directory.
	Absent CandidateState = "absent"
	// Unreadable: it is not known whether the directory exists.
	Unreadable CandidateState = "unreadable"
	// Empty: nothing in it is used.
	Empty CandidateState = "empty"
	// Used: its content is in use.
	Used CandidateState = "used"
	// Unused: another directory comes before it.
	Unused CandidateState = "unused"
)

// Inspect looks at everything that [Hosts.Lookup] would, as if for the first time: it
// ignores what is cached about host directories, and no earlier value replaces a file
// that cannot be used. An error means that the name is not valid.
func (h *Hosts) Inspect(name string) (*Inspection, error) {
	h.init()
	fresh := &Hosts{Roots: h.Roots, SystemRoots: h.SystemRoots, SuffixDirectories: h.SuffixDirectories, Keys: h.Keys, disk: h.disk, system: h.system, listings: h.listings}
	c, err := fresh.entry(name)
	if err != nil {
		return nil, err
	}
	i := &Inspection{Name: c.place.Registry}
	i.Host, i.Err = fresh.lookup(context.Background(), c, false)
	i.candidates(fresh, c)
	i.problems(fresh, c)
	return i, nil
}

func (i *Inspection) candidates(h *Hosts, c *cachedHost) {
	used := slices.Clone(c.found.main)
	for _, dirs := range c.found.endpoints {
		used = append(used, dirs...)
	}
	add := func(name string, paths []string) {
		for _, path := range paths {
			if !slices.ContainsFunc(i.Candidates, func(c Candidate) bool { return c.Path == path }) {
				i.Candidates = append(i.Candidates, candidate(h, name, path, used))
			}
		}
	}
	add(i.Name, finder{h}.paths(c.place))
	suffixes := func(registry string) {
		if !h.SuffixDirectories {
			return
		}
		for _, p := range hostname.SuffixPlaces(registry) {
			add(p.Suffix, finder{h}.existing(p))
		}
	}
	suffixes(i.Name)
	add("", finder{h}.paths(hostname.DefaultPlace))
	for _, p := range c.endpoints {
		if p != nil {
			add(p.Registry, finder{h}.paths(*p))
			suffixes(p.Registry)
		}
	}
}

// existing returns the directories of a place that exist.
func (h finder) existing(p hostname.Place) []string {
	return slices.DeleteFunc(h.paths(p), func(path string) bool { return !exists(h.Hosts, path) })
}

func candidate(h *Hosts, name, path string, used []*Directory) Candidate {
	c := Candidate{Path: path, For: name, State: Absent}
	info, err := h.disk.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return c
	case err != nil:
		c.State = Unreadable
		return c
	case !info.IsDir():
		return c
	}
	entries, err := h.disk.ReadDir(path)
	if err != nil {
		c.State = Unreadable
	}
	for _, entry := range entries {
		c.Files = append(c.Files, entry.Name())
	}
	switch dir, _, _ := h.dirs.get(path, info); {
	case c.State == Unreadable:
	case !dir.says:
		c.State = Empty
	case slices.Contains(used, dir):
		c.State = Used
	default:
		c.State = Unused
	}
	return c
}

// problems collects the problems of all directories in use and adds those that only an
// inspection looks for.
func (i *Inspection) problems(h *Hosts, c *cachedHost) {
	said := map[string]bool{}
	add := func(p *Problem) {
		if text := p.Error(); !said[text] {
			said[text] = true
			i.Problems = append(i.Problems, p)
		}
	}
	collect(i.Err, add)
	if i.Host != nil {
		for _, warning := range i.Host.Warnings {
			collect(warning, add)
		}
		for _, e := range i.Host.Endpoints {
			for _, p := range e.validity(h.disk.Now()) {
				add(p)
			}
		}
	}
	for _, dir := range slices.Concat(c.found.main, c.found.exact) {
		for _, p := range dir.Problems {
			add(p.as(Warning))
		}
	}
	for _, p := range i.nearMisses(h) {
		add(p)
	}
	slices.SortStableFunc(i.Problems, func(a, b *Problem) int { return int(b.Severity) - int(a.Severity) })
}

// collect calls add for each Problem inside an error.
func collect(err error, add func(*Problem)) {
	switch err := err.(type) { //nolint:errorlint // the tree is walked by hand
	case nil:
	case *Problem:
		add(err)
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			collect(inner, add)
		}
	case interface{ Unwrap() error }:
		collect(err.Unwrap(), add)
	}
}
