package migrate_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

var update = flag.Bool("update", false, "write what the scripts in testdata give into them")

// options are those of a script: certs.d directories are below roots/ in the
// order of their names, configurations config.toml and daemon.json, and what is
// written is out/.
func options(dir string) migrate.Options {
	o := migrate.Options{Roots: certsd.Roots{}, Configs: []string{}, Output: filepath.Join(dir, "out")}
	roots, _ := filepath.Glob(filepath.Join(dir, "roots", "*"))
	o.Roots = append(o.Roots, roots...)
	for _, name := range []string{"config.toml", "daemon.json"} {
		if file := filepath.Join(dir, name); exists(file) {
			o.Configs = append(o.Configs, file)
		}
	}
	return o
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// TestScripts compares the whole output of each script in testdata. The files
// under want/ are what is expected: the diff, the notes or the error.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(script)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			given := slices.DeleteFunc(slices.Clone(archive.Files), func(f txtar.File) bool {
				if strings.HasPrefix(f.Name, "want/") {
					want[f.Name] = string(f.Data)
					return true
				}
				return false
			})
			dir := t.TempDir()
			lay(t, dir, given)
			got := outcome(t, dir)
			if *update {
				archive.Files = append(given, sections(got)...)
				if err := os.WriteFile(script, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func sections(files map[string]string) []txtar.File {
	var all []txtar.File
	for name, text := range files {
		all = append(all, txtar.File{Name: name, Data: []byte(text)})
	}
	slices.SortFunc(all, func(a, b txtar.File) int { return strings.Compare(a.Name, b.Name) })
	return all
}

var secret = regexp.MustCompile(`s3cret|PRIVATE KEY|BEGIN`)

// outcome makes the plan, writes it, and makes sure that there is nothing left
// to do, and that no secret is shown.
func outcome(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	shown := func(text string) string {
		if secret.MatchString(text) {
			t.Errorf("a secret is shown:\n%s", text)
		}
		return strings.ReplaceAll(text, dir, "$DIR")
	}
	plan, err := migrate.New(options(dir))
	if err != nil {
		return map[string]string{"want/error": shown(err.Error()) + "\n"}
	}
	if diff := plan.Diff(); len(diff) > 0 {
		// An empty line of a diff is a space.
		got["want/diff"] = shown(string(bytes.ReplaceAll(diff, []byte("\n \n"), []byte("\n\n"))))
	}
	if notes := notesOf(plan); notes != "" {
		got["want/notes"] = shown(notes)
	}
	if _, err := plan.Write(); err != nil {
		t.Fatal(err)
	}
	if written := tree(t, filepath.Join(dir, "out")); written != "" && len(plan.Directories) > 0 {
		got["want/modes"] = modes(written)
	}
	again, err := migrate.New(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	if diff := again.Diff(); len(diff) > 0 {
		t.Errorf("a second run has something to do:\n%s", diff)
	}
	return got
}

func notesOf(plan *migrate.Plan) string {
	var b strings.Builder
	for _, n := range plan.Notes {
		fmt.Fprintf(&b, "%s: %s\n", n.Kind, n)
	}
	return b.String()
}

// modes are the names and modes of a tree.
func modes(tree string) string {
	var b strings.Builder
	for _, line := range regexp.MustCompile(`(?m)^-- (\S+ \S+) --$`).FindAllStringSubmatch(tree, -1) {
		b.WriteString(line[1] + "\n")
	}
	return b.String()
}
