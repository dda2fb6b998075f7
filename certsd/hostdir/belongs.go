package hostdir

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Belongs returns the directory where files for a host[:port] belong, and whether it
// exists: an existing one, even if it configures no TLS, or else the one to create. If
// beside, the directory of the registry that refers to the host, is in one of the
// roots, a new directory belongs in that root; beside may be empty.
func (h *Hosts) Belongs(hostport, beside string) (path string, exists bool) {
	h.init()
	root, roots := "certs.d", h.roots()
	if len(roots) > 0 {
		root = roots[0]
	}
	if beside != "" && slices.Contains(roots, filepath.Dir(beside)) {
		root = filepath.Dir(beside)
	}
	names := hostname.Directories(hostport)
	for _, root := range append(Roots{root}, roots...) {
		for _, name := range names {
			if path := filepath.Join(root, name); isDirectory(path) {
				return path, true
			}
		}
	}
	return filepath.Join(root, names[0]), false
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
