package certsd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// nearMisses are directories whose names look like another spelling of this
// registry's.
func (i *Inspection) nearMisses(h *Hosts) []*Problem {
	own := i.Host == nil || i.Host.Own
	return slices.DeleteFunc(h.nearMisses(i.Name, own), func(p *Problem) bool {
		return slices.ContainsFunc(i.Candidates, func(c Candidate) bool { return c.Path == p.File })
	})
}

// nearMisses are directories whose names look like another spelling of the one
// that a registry's would have; own tells that there is such a one.
func (h *Hosts) nearMisses(name string, own bool) []*Problem {
	var problems []*Problem
	for _, root := range h.roots() {
		l := h.listings.get(root)
		names, err := l.names, l.err
		if errors.Is(err, os.ErrNotExist) && filepath.Base(root) == "certs.d" {
			if other := filepath.Join(filepath.Dir(root), "cert.d"); exists(h, other) {
				problems = append(problems, &Problem{Code: RootName, File: other, Err: fmt.Errorf("is not read: the name is %s", root)})
			}
		}
		for _, dir := range names {
			if !mentions(dir, name) {
				continue
			}
			if p := nearMiss(filepath.Join(root, dir), name, own); p != nil {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// mentions tells that a directory's name has to be looked at more closely: an
// IPv6 address has many spellings, and any other host's name stands as it is.
func mentions(dir, canonical string) bool {
	if strings.HasPrefix(canonical, "[") {
		return true
	}
	name, _, _ := strings.Cut(canonical, ":")
	return strings.Contains(strings.ToLower(dir), name)
}

// nearMiss says what is wrong with the name of a directory, nil if it has nothing
// to do with this registry.
func nearMiss(path, registry string, own bool) *Problem {
	dir, name := filepath.Base(path), dirNames("", registry)[0]
	switch port, same := sameName(dir, registry); {
	case looksLike(dir, registry):
		return &Problem{Code: DirectoryName, File: path, Err: fmt.Errorf("is not read for %s: rename it to %s", registry, name), next: "rename it to " + name}
	case same && !own:
		return &Problem{
			Code: DirectoryPort, File: path, Err: fmt.Errorf("is for port %s, and is not read for %s", port, registry),
			next: fmt.Sprintf("rename it to %s, if it is meant for this one", name),
		}
	}
	return nil
}

// sameName tells that a directory is for another port of a host, and for which.
func sameName(dir, canonical string) (port string, same bool) {
	other, err := CanonicalDir(dir)
	if err != nil {
		return "", false
	}
	name, port, _ := splitHost(other)
	want, wantPort, _ := splitHost(canonical)
	port, wantPort = cmp.Or(port, "443"), cmp.Or(wantPort, "443")
	return port, name == want && port != wantPort
}

func exists(h *Hosts, path string) bool {
	_, err := h.disk.Stat(path)
	return err == nil
}

// misspelt are the forms a host:port is given in by mistake.
var misspelt = regexp.MustCompile(`^(?:https?[:_]*/*)?(.*?)(?:[:_-]([0-9]+)_?)?/?$`)

// looksLike tells that a directory's name can be read as the given host.
func looksLike(dir, canonical string) bool {
	parts := misspelt.FindStringSubmatch(dir)
	if parts == nil {
		return false
	}
	name := parts[1]
	if parts[2] != "" {
		name += ":" + parts[2]
	}
	other, err := Canonical(name)
	return err == nil && strings.TrimSuffix(other, ":443") == strings.TrimSuffix(canonical, ":443")
}
