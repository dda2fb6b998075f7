package hostdir

import (
	"os"
	"path/filepath"
	"runtime"
)

// PodmanRoots are the directories of Podman, Buildah, Skopeo and CRI-O, in which
// the files have the names and the meaning of Docker's. They are not among
// [DefaultRoots].
func PodmanRoots() Roots { return podmanRoots(runtime.GOOS, os.Getenv) }

func podmanRoots(goos string, getenv func(string) string) Roots {
	if goos == "windows" {
		return nil
	}
	var roots Roots
	// $XDG_CONFIG_HOME does not count there, and who is root has a directory, too.
	if home := getenv("HOME"); filepath.IsAbs(home) {
		roots = append(roots, filepath.Join(home, ".config", "containers", "certs.d"))
	}
	return append(roots, "/etc/containers/certs.d")
}
