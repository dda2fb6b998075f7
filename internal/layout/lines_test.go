package layout

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const upstream = "github.com/containerd/containerd/v2"

// raised are the modules that a line's containerd is built with in a newer
// version than its release is, and which of our requirements wants it.
var raised = map[string]map[string]string{
	"2.2": {
		"github.com/go-jose/go-jose/v4":                                 "v1compat",
		"github.com/pelletier/go-toml/v2":                               "certsd: errors with the line of a key that is there twice",
		"github.com/sirupsen/logrus":                                    "go-containerregistry",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp": "go-containerregistry",
		"golang.org/x/oauth2":                                           "go-containerregistry",
		"golang.org/x/sync":                                             "oras-go",
	},
	"2.3": {
		"github.com/go-jose/go-jose/v4":   "v1compat",
		"github.com/pelletier/go-toml/v2": "certsd",
	},
	"2.4": {},
}

type goMod struct {
	Go      string
	Require []struct{ Path, Version string }
}

// run is the output of a command of Go in a directory of the repository.
func run(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = filepath.Join("../..", dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %q in %s: %v", args, dir, err)
	}
	return out
}

func mod(t *testing.T, file string) goMod {
	t.Helper()
	var m goMod
	if err := json.Unmarshal(run(t, ".", "mod", "edit", "-json", file), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// words are what the Makefile gives a variable.
func words(t *testing.T, variable string) []string {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + variable + ` *:= (.*)$`).FindSubmatch(makefile)
	if m == nil {
		t.Fatalf("the Makefile has no %s", variable)
	}
	return strings.Fields(string(m[1]))
}

// TestLines holds that each release line is a module that differs from the
// others in its main.go alone, and is built with what its release is built with.
func TestLines(t *testing.T) {
	t.Parallel()
	lines := words(t, "LINES")
	found, err := filepath.Glob("../../cmd/containerd/*/go.mod")
	if err != nil || len(found) != len(lines) || len(raised) != len(lines) {
		t.Errorf("the Makefile has the lines %q, there are %q: %v", lines, found, err)
	}
	document, err := os.ReadFile("../../docs/containerd.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			dir := "cmd/containerd/" + line
			var release struct{ Version, GoMod string }
			if err := json.Unmarshal(run(t, dir, "list", "-m", "-json", upstream), &release); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(release.Version, "v"+line+".") {
				t.Errorf("%s is built with containerd %s", dir, release.Version)
			}
			theirs := mod(t, release.GoMod)
			if ours := mod(t, dir+"/go.mod"); ours.Go != theirs.Go {
				t.Errorf("%s is of Go %s, containerd %s of %s", dir, ours.Go, release.Version, theirs.Go)
			}
			row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(line) + `[^|]*\| ` + regexp.QuoteMeta(strings.TrimPrefix(release.Version, "v")) + ` \|[^|]*\| ` + regexp.QuoteMeta(theirs.Go) + ` \|`)
			if !row.Match(document) {
				t.Errorf("docs/containerd.md has no row %s | %s | ... | %s", line, release.Version, theirs.Go)
			}
			built := map[string]string{}
			for text := range strings.Lines(string(run(t, dir, "list", "-m", "-f", "{{.Path}} {{.Version}}", "all"))) {
				path, version, _ := strings.Cut(strings.TrimSpace(text), " ")
				built[path] = version
			}
			var newer, known []string
			for _, r := range theirs.Require {
				if version := built[r.Path]; version != "" && version != r.Version {
					newer = append(newer, r.Path)
				}
			}
			for path := range raised[line] {
				known = append(known, path)
			}
			slices.Sort(newer)
			slices.Sort(known)
			if diff := cmp.Diff(known, newer); diff != "" {
				t.Errorf("what is not of the version of the release (-said here +found):\n%s", diff)
			}
			files, err := os.ReadDir(filepath.Join("../..", dir))
			if err != nil || len(files) != 3 {
				t.Errorf("%s has %v: go.mod, go.sum and main.go are all that is of one line: %v", dir, files, err)
			}
			packages := strings.Fields(string(run(t, dir, "list", "-f", `{{join .Imports " "}}`, ".")))
			if !slices.Contains(packages, module+"plugin") {
				t.Errorf("%s imports %q, not the plugin", dir, packages)
			}
		})
	}
}

// TestLowest holds that who imports a package of ours needs neither a newer
// containerd than the lowest line, nor a newer Go.
func TestLowest(t *testing.T) {
	t.Parallel()
	root, lowest := mod(t, "go.mod"), mod(t, "cmd/containerd/"+words(t, "LINES")[0]+"/go.mod")
	if root.Go != lowest.Go {
		t.Errorf("go.mod is of Go %s, the lowest line's of %s", root.Go, lowest.Go)
	}
	for _, r := range root.Require {
		if r.Path == upstream && !strings.HasPrefix(r.Version, "v"+words(t, "LINES")[0]+".") {
			t.Errorf("go.mod requires containerd %s", r.Version)
		}
	}
}

// TestCore finds core scenarios that are not there: Go's -run says nothing.
func TestCore(t *testing.T) {
	t.Parallel()
	for _, name := range words(t, "CORE") {
		if _, err := os.Stat("../../integration/testdata/" + name + ".txtar"); err != nil {
			t.Error(err)
		}
	}
}
