package certsd

import (
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
	var problems []*Problem
	for _, root := range h.roots() {
		entries, err := h.disk.ReadDir(root)
		if errors.Is(err, os.ErrNotExist) && filepath.Base(root) == "certs.d" {
			if other := filepath.Join(filepath.Dir(root), "cert.d"); exists(h, other) {
				problems = append(problems, &Problem{File: other, Err: fmt.Errorf("is not read: the name is %s", root)})
			}
		}
		for _, entry := range entries {
			path := filepath.Join(root, entry.Name())
			looked := slices.ContainsFunc(i.Candidates, func(c Candidate) bool { return c.Path == path })
			if looked || !looksLike(entry.Name(), i.Name) {
				continue
			}
			name := dirNames("", i.Name, i.Name)[0]
			problems = append(problems, &Problem{File: path, Err: fmt.Errorf("is not read for %s: rename it to %s", i.Name, name)})
		}
	}
	return problems
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
