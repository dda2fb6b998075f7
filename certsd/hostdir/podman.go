package hostdir

import (
	"os"
	"path/filepath"
	"runtime"
)

// PodmanRoots returns the directories of Podman, Buildah, Skopeo and CRI-O, whose files
// have the names and meaning of Docker's. They are not in [DefaultRoots].
func PodmanRoots() Roots { return podmanRoots(runtime.GOOS, os.Getenv) }

func podmanRoots(goos string, getenv func(string) string) Roots {
	if goos == "windows" {
		return nil
	}
	var roots Roots
	// Podman ignores $XDG_CONFIG_HOME, and reads this directory for root, too.
	if home := getenv("HOME"); filepath.IsAbs(home) {
		roots = append(roots, filepath.Join(home, ".config", "containers", "certs.d"))
	}
	return append(roots, "/etc/containers/certs.d")
}
