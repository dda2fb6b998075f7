package hostdir

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Roots are the certs.d directories, in the order in which they are searched.
type Roots []string

// ParseRoots splits a list of directories as in containerd's config_path: separated by
// colons, on Windows by semicolons. It drops empty elements and repetitions.
func ParseRoots(list string) Roots {
	var roots Roots
	for _, root := range filepath.SplitList(list) {
		if root == "" {
			continue
		}
		if root = filepath.Clean(root); !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// CheckRoots rejects a list that makes no sense in a daemon's configuration: one
// without a directory, which [Hosts] would replace with the default ones, or with a
// relative one, which would depend on where the daemon was started.
func CheckRoots(list string) error {
	roots := ParseRoots(list)
	if len(roots) == 0 {
		return fmt.Errorf("%q does not name a directory", list)
	}
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("%q is not an absolute path", root)
		}
	}
	return nil
}

// String returns the list in the form that [ParseRoots] reads.
func (r Roots) String() string {
	return strings.Join(r, string(filepath.ListSeparator))
}

// DefaultRoots returns containerd's and Docker's directories. For a user other than
// root the directories below $XDG_CONFIG_HOME (or ~/.config) come first.
func DefaultRoots() Roots {
	return defaultRoots(runtime.GOOS, os.Geteuid(), os.Getenv)
}

func defaultRoots(goos string, euid int, getenv func(string) string) Roots {
	if goos == "windows" {
		var roots Roots
		if dir := getenv("ProgramFiles"); dir != "" {
			roots = append(roots, filepath.Join(dir, "containerd", "certs.d"))
		}
		if dir := getenv("ProgramData"); dir != "" {
			roots = append(roots, filepath.Join(dir, "docker", "certs.d"))
		}
		return roots
	}
	var roots Roots
	if euid != 0 {
		config := getenv("XDG_CONFIG_HOME")
		// The specification declares a relative path invalid.
		if !filepath.IsAbs(config) {
			config = ""
			if home := getenv("HOME"); filepath.IsAbs(home) {
				config = filepath.Join(home, ".config")
			}
		}
		if config != "" {
			roots = append(roots,
				filepath.Join(config, "containerd", "certs.d"),
				filepath.Join(config, "docker", "certs.d"))
		}
	}
	return append(roots, "/etc/containerd/certs.d", "/etc/docker/certs.d")
}

// SystemRoots says when the system's CA roots are used. Its zero value is
// [FallbackRoots].
type SystemRoots string

const (
	// FallbackRoots uses them only if no others are configured.
	FallbackRoots SystemRoots = "fallback"
	// AppendRoots uses them in addition to the configured ones.
	AppendRoots SystemRoots = "append"
)

// ParseSystemRoots parses the value of a setting; empty means [FallbackRoots].
func ParseSystemRoots(text string) (SystemRoots, error) {
	switch s := SystemRoots(text); s {
	case "":
		return FallbackRoots, nil
	case FallbackRoots, AppendRoots:
		return s, nil
	}
	return "", fmt.Errorf("%q is neither %q nor %q", text, FallbackRoots, AppendRoots)
}
