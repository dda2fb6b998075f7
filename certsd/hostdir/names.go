package hostdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Names are the registries that have a directory in any root, in canonical
// form and sorted. Directories whose names cannot be a registry's are left
// out, as is _default. The error joins those of the roots that cannot be
// listed.
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
			if info, err := h.disk.Stat(filepath.Join(root, entry.Name())); err == nil && info.IsDir() {
				names = append(names, canonical)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(errs...)
}
