package layout

import (
	"slices"
	"testing"
)

// TestCertsdIsLight lets certsd depend on the standard library and a TOML
// parser only.
func TestCertsdIsLight(t *testing.T) {
	t.Parallel()
	light := []string{"github.com/pelletier/go-toml/v2", module + "certsd"}
	for _, name := range []string{"beginning", "bytesize", "handshake", "nextstep", "pemfile", "plainfile", "reqctx", "safetext", "serverfault", "spelling", "supply", "tomlpos", "verify"} {
		light = append(light, module+"internal/"+name)
	}
	for _, dep := range list(t, "-deps", "./certsd/...") {
		if !dep.Standard && !slices.ContainsFunc(light, dep.in) {
			t.Errorf("certsd depends on %s", dep.ImportPath)
		}
	}
}
