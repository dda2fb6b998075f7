package hostdir

import (
	"errors"
	"io/fs"
	"syscall"
)

// absence records what a lookup did not find in one root. A host's directory may have
// one of several names in one of several roots; without this record, each lookup would
// look for all the others again.
type absence struct {
	// root is what the root looked like before the first of paths was sought in it.
	root  stamp
	paths []stamp
	// listed reports whether the root was listed to find other spellings of the name.
	listed bool
}

// absences are the absences of one lookup.
type absences []absence

// enter stamps a root before anything in it is looked for.
func (a *absences) enter(d disk, root string) *absence {
	for i := range *a {
		if (*a)[i].root.path == root {
			return &(*a)[i]
		}
	}
	*a = append(*a, absence{root: d.stamp(root)})
	return &(*a)[len(*a)-1]
}

// stamps returns the stamps that stay unchanged as long as everything is still absent.
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

// tells reports whether the root's stamp is enough: nothing can appear in a directory
// without changing its stamp. It is not enough for a dangling symbolic link, which
// exists already and whose target may appear elsewhere.
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

// isAbsent reports whether an error means that the path does not exist, or that its
// name is longer than the file system allows.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG)
}
