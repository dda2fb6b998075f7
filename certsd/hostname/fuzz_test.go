package hostname

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// FuzzCanonical looks up any name: nothing leaves the root, and a canonical
// name is its own canonical name.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"reg", "REG.:0443", "[::1]:5000", "..", "../x", "a/b", "_default", "reg_5000_", "[fe80::1%25eth0]", "x\x00y", "a..b", ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		canonical, err := Canonical(name)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("error %q", err)
			}
			return
		}
		if again, err := Canonical(canonical); again != canonical || err != nil {
			t.Errorf("Canonical(%q) = %q, of which it is %q, %v", name, canonical, again, err)
		}
		// A directory of this name is found by every spelling.
		if dir, err := OfDirectory(name); err == nil {
			if !slices.Contains(PlaceOf(dir).In("", Spellings([]string{name})), name) {
				t.Errorf("a directory %q is not found for %q", name, dir)
			}
		}
		root := filepath.FromSlash("/etc/certs.d")
		for _, goos := range []string{runtime.GOOS, "windows"} {
			for _, dir := range directories(goos, canonical) {
				if filepath.Dir(filepath.Join(root, dir)) != root || dir == DefaultDirectory {
					t.Errorf("%q is looked up as %q", name, dir)
				}
			}
		}
	})
}
