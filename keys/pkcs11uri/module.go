package pkcs11uri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// proxy is the library that gives access to all modules registered on the machine.
const proxy = "p11-kit-proxy"

// moduleDirs lists where distributions install modules; * stands for an architecture.
var moduleDirs = []string{
	"/usr/lib/*/pkcs11", "/usr/lib64/pkcs11", "/usr/lib/pkcs11",
	"/usr/lib/*", "/usr/lib64", "/usr/lib", "/usr/lib/softhsm", "/usr/local/lib",
}

// Module returns the path of the library that speaks to the token: the URI's path, a
// library of the URI's module name, or p11-kit's proxy for all modules of the
// machine.
func (u *URI) Module() (string, error) {
	if u.ModulePath != "" {
		if _, err := os.Stat(u.ModulePath); err != nil {
			return "", fmt.Errorf("module-path: %w", err)
		}
		return u.ModulePath, nil
	}
	names := []string{proxy + ".so"}
	if u.ModuleName != "" {
		names = []string{u.ModuleName + ".so", "lib" + u.ModuleName + ".so"}
	}
	for _, dir := range moduleDirs {
		for _, name := range names {
			// The pattern is well-formed, and odd characters in the name match
			// nothing.
			found, _ := filepath.Glob(filepath.Join(dir, name))
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	if u.ModuleName != "" {
		return "", fmt.Errorf("no library has the name that module-name gives: give its path: ?module-path=/usr/lib/.../%s", names[0])
	}
	return "", errors.New("the URI does not name a module, and p11-kit's is not installed: add ?module-path=/usr/lib/....so")
}
