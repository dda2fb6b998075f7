package hostdir

import (
	"cmp"
	"path/filepath"
	"slices"
)

// dockerFiles are the Docker files for one host from several directories.
type dockerFiles struct {
	// dir is the first directory that contributes something.
	dir        string
	cas        []CA
	identities []*Identity
	problems   []*Problem
}

// overlay merges directories for the same host: a file in an earlier one hides the file
// of the same name in a later one.
func overlay(dirs []*Directory) dockerFiles {
	var o dockerFiles
	// A directory may hold very many files: look names up in maps.
	cas, identities := map[string]bool{}, map[string]bool{}
	for _, dir := range dirs {
		if o.dir == "" && len(dir.CAs)+len(dir.Identities) > 0 {
			o.dir = dir.Path
		}
		for _, ca := range dir.CAs {
			if name := filepath.Base(ca.File); !cas[name] {
				cas[name] = true
				o.cas = append(o.cas, ca)
			}
		}
		for _, id := range dir.Identities {
			if !identities[id.Name] {
				identities[id.Name] = true
				o.identities = append(o.identities, id)
			}
		}
	}
	slices.SortStableFunc(o.cas, func(a, b CA) int { return cmp.Compare(filepath.Base(a.File), filepath.Base(b.File)) })
	slices.SortStableFunc(o.identities, func(a, b *Identity) int { return cmp.Compare(a.Name, b.Name) })
	for _, dir := range dirs {
		for _, p := range dir.Problems {
			switch {
			case p.kind == ofPair && len(o.identities) > 0:
				o.problems = append(o.problems, p.as(Warning))
			case p.kind == ofFile || p.kind == ofPair:
				o.problems = append(o.problems, p)
			}
		}
	}
	return o
}
