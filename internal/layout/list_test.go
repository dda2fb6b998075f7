package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goPackage is what the tests want to know of "go list -json".
type goPackage struct {
	Dir, ImportPath, Name string
	Standard              bool
	GoFiles, TestGoFiles  []string
	Imports               []string
}

// files are the files whose package comment counts: those of the package, or
// its tests where it has nothing else.
func (p goPackage) files() []string {
	names := p.GoFiles
	if len(names) == 0 {
		names = p.TestGoFiles
	}
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(p.Dir, name))
	}
	return files
}

// in reports whether the package belongs to a module.
func (p goPackage) in(module string) bool {
	return p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/")
}

// list runs "go list" at the root of the module.
func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=Dir,ImportPath,Name,Standard,GoFiles,TestGoFiles,Imports"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, &stderr)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
