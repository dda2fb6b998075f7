package hostdir

import (
	"errors"
	"io/fs"
	"syscall"
)

// absence is what a lookup did not find in one root. A host with a directory of
// its own has it under one of several names in one of several roots: all the
// others would have to be looked for again at each lookup.
type absence struct {
	// root is what the root looked like before the first of paths was looked
	// for in it.
	root  stamp
	paths []stamp
	// listed reports whether other spellings were looked for among all its names.
	listed bool
}

// absences are those of one lookup.
type absences []absence

// enter looks at a root before anything is looked for in it.
func (a *absences) enter(d disk, root string) *absence {
	for i := range *a {
		if (*a)[i].root.path == root {
			return &(*a)[i]
		}
	}
	*a = append(*a, absence{root: d.stamp(root)})
	return &(*a)[len(*a)-1]
}

// stamps are what has to look the same for all to be absent still.
func (a absences) stamps(d disk) []stamp {
	var all []stamp
	for i := range a {
		tells := a[i].tells(d)
		if a[i].listed || len(a[i].paths) > 1 && tells {
			all = append(all, a[i].root)
		}
		if len(a[i].paths) == 1 && !a[i].listed || !tells {
			all = append(all, a[i].paths...)
		}
	}
	return all
}

// tells says whether a look at the root is enough: nothing comes into a
// directory without a trace, nor into one that does not exist. A symbolic link
// to nothing is there already.
func (a *absence) tells(d disk) bool {
	if a.root.err != nil {
		return isAbsent(a.root.err)
	}
	if a.root.fresh {
		return false
	}
	for i := range a.paths {
		if _, err := d.Lstat(a.paths[i].path); !isAbsent(err) {
			return false
		}
	}
	return true
}

// isAbsent reports whether an error means that there is no such path. A name may be
// longer than the file system allows.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG)
}
