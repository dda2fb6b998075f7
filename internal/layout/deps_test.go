package layout

import (
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "github.com/certsd/containerd-certsd/"

// TestDependencies holds the direction of dependency: certsd and v1compat
// know nothing of each other, resolver joins them, plugin and the commands are
// on top.
func TestDependencies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pkg string
		// own are the packages of this module it may depend on.
		own []string
		// others, if not nil, are the modules it may depend on.
		others []string
	}{
		{pkg: "certsd", others: []string{"github.com/pelletier/go-toml/v2"}},
		{pkg: "v1compat"},
		{pkg: "resolver", own: []string{"certsd", "v1compat"}},
		{pkg: "plugin", own: []string{"certsd", "v1compat", "resolver"}},
	} {
		t.Run(tt.pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range list(t, "-deps", "./"+tt.pkg+"/...") {
				own, ours := strings.CutPrefix(dep.ImportPath, module)
				top, _, _ := strings.Cut(own, "/")
				switch {
				case dep.Standard || top == tt.pkg:
				case ours && !slices.Contains(tt.own, top) && top != "internal":
					t.Errorf("%s depends on %s", tt.pkg, dep.ImportPath)
				case !ours && tt.others != nil && !slices.ContainsFunc(tt.others, dep.in):
					t.Errorf("%s depends on %s", tt.pkg, dep.ImportPath)
				}
			}
		})
	}
}
