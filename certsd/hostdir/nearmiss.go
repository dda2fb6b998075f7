package hostdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// nearMisses returns a problem for each directory whose name looks like another
// spelling of this registry's.
func (i *Inspection) nearMisses(h *Hosts) []*Problem {
	own := i.Host == nil || i.Host.Own
	around := missFinder{h}
	problems := around.nearMisses(i.Name, own)
	if i.Host == nil || i.Host.Dir == "" || i.Host.Fallback {
		problems = append(problems, around.uncounted(i.Name)...)
	}
	return slices.DeleteFunc(problems, func(p *Problem) bool {
		return slices.ContainsFunc(i.Candidates, func(c Candidate) bool { return c.Path == p.File })
	})
}

// NearMisses returns a problem for each directory that may have been meant for a
// host without one of its own.
func (h *Hosts) NearMisses(name string) []*Problem {
	canonical, err := hostname.Canonical(name)
	if err != nil {
		return nil
	}
	h.init()
	if slices.ContainsFunc(finder{h}.paths(hostname.PlaceOf(canonical)), func(path string) bool { return exists(h, path) }) {
		return nil
	}
	return missFinder{h}.nearMisses(canonical, false)
}

// missFinder finds directories that may have been meant for a registry.
type missFinder struct{ *Hosts }

// nearMisses returns a problem for each directory whose name looks like another
// spelling of the registry's; own reports whether the registry has a directory.
func (h missFinder) nearMisses(name string, own bool) []*Problem {
	var problems []*Problem
	for _, root := range h.roots() {
		l := h.listings.get(root)
		names, err := l.names, l.err
		if errors.Is(err, os.ErrNotExist) && filepath.Base(root) == "certs.d" {
			if other := filepath.Join(filepath.Dir(root), "cert.d"); exists(h.Hosts, other) {
				problems = append(problems, &Problem{
					Code: RootName, File: other, Err: fmt.Errorf("is not read: the name is %s", root),
					message: "the directory is cert.d, not certs.d: nothing in it is read",
					next:    fmt.Sprintf("mv %s %s", plainfile.Quote(other), plainfile.Quote(root)),
				})
			}
		}
		for _, dir := range names {
			if !hostname.Mentions(dir, name) {
				continue
			}
			if p := nearMiss(filepath.Join(root, dir), name, own); p != nil {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// uncounted returns a problem for each suffix directory that would serve the registry
// if suffix directories were enabled.
func (h missFinder) uncounted(name string) []*Problem {
	if h.SuffixDirectories {
		return nil
	}
	var problems []*Problem
	for _, p := range hostname.SuffixPlaces(name) {
		for _, path := range finder(h).existing(p) {
			problems = append(problems, &Problem{
				Severity: Warning, Code: DirectorySuffix, File: path,
				Err:  fmt.Errorf("is for every host below %s, and is not used: suffix_directories is not set", hostname.DomainOf(p.Suffix)),
				next: NextForSuffix,
			})
		}
	}
	return problems
}

// NextForSuffix is the next step that makes a suffix directory take effect.
const NextForSuffix = `set suffix_directories = true in the settings of the program that pulls (certsd check, pull and copy: --suffix-directories), or name a directory after the host`

// nearMiss returns the problem with the name of a directory, nil if it is unrelated to
// this registry.
func nearMiss(path, registry string, own bool) *Problem {
	dir, name := filepath.Base(path), hostname.Directories(registry)[0]
	switch port, same := hostname.OtherPort(dir, registry); {
	case hostname.LooksLike(dir, registry):
		p := &Problem{Code: DirectoryName, File: path, Err: nextstep.Told(fmt.Errorf("is not read for %s", registry), "rename it to "+name, renameIt(path, name))}
		if _, is := hostname.Unclosed(dir); is {
			p.message = "lacks the closing underscore, and " + nextstep.Cause(p.Err)
		}
		return p
	case same && !own:
		return &Problem{
			Code: DirectoryPort, File: path, Err: fmt.Errorf("is for port %s, and is not read for %s", port, registry),
			next: fmt.Sprintf("rename it to %s, if it is meant for this one: %s", name, plainfile.Rename(path, name)),
		}
	}
	return nil
}

func exists(h *Hosts, path string) bool {
	_, err := h.disk.Stat(path)
	return err == nil
}
