package hostdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Names returns the registries that have a directory in any root, in canonical form and
// sorted. Directories whose names cannot be a registry's, such as _default, are left
// out. The error joins the errors of roots that cannot be listed.
func (h *Hosts) Names() ([]string, error) {
	h.init()
	var names []string
	var errs []error
	for _, root := range h.roots() {
		entries, err := h.disk.ReadDir(root)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cannot list the certs.d directory %s: %w", root, cause(err)))
		}
		for _, entry := range entries {
			canonical, err := hostname.OfDirectory(entry.Name())
			if err != nil {
				continue
			}
			if h.isDir(root, entry) {
				names = append(names, canonical)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(errs...)
}

// isDir reports whether an entry of a root is a directory. It asks the disk only for
// symbolic links: a root may have thousands of entries.
func (h *Hosts) isDir(root string, entry os.DirEntry) bool {
	if entry.Type()&os.ModeSymlink == 0 {
		return entry.IsDir()
	}
	info, err := h.disk.Stat(filepath.Join(root, entry.Name()))
	return err == nil && info.IsDir()
}
