package certsd

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/certsd/containerd-certsd"

// deps are the packages that a package of the module is built from, without
// the standard library.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), goTool, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+"/"+pkg)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return strings.Fields(string(out))
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for _, dep := range deps(t, "certsd") {
		if dep != module+"/certsd" && !strings.HasPrefix(dep, "github.com/pelletier/go-toml/v2") {
			t.Errorf("certsd needs %s: it is to need the standard library and a TOML parser only", dep)
		}
	}
	for _, dep := range deps(t, "v1compat") {
		if dep == module+"/certsd" {
			t.Error("v1compat needs certsd: it is to be given an *http.Client")
		}
	}
}
