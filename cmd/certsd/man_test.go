package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/clidoc"
)

// printed is what a command line prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"certsd"}, args...), &out, &errs); code != exitDone {
		t.Fatalf("%q: exit code %d: %s", args, code, &errs)
	}
	return out.String()
}

// tool finds a program of Debian's. Without it the test is skipped, with CI=true
// it fails.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		citest.Missing(t, err.Error())
	}
	return path
}

// TestEveryCommandIsDocumented holds all help texts to one form: what it is in
// a few words without capital and full stop, arguments, a description and
// examples; and the manual page to all of that.
func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	page := printed(t, "man")
	shown := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\e`, `\`, `\(ti`, "~", `\(ha`, "^").Replace(page)
	root := command(io.Discard, io.Discard)
	if len(clidoc.Commands(root)) < 6 {
		t.Fatalf("only %d commands", len(clidoc.Commands(root)))
	}
	for _, c := range clidoc.Commands(root) {
		if !strings.Contains(shown, `.SS "certsd `+c.Name+`"`) {
			t.Errorf("%s is not in the manual page", c.Name)
		}
		if c.Usage == "" || strings.HasSuffix(c.Usage, ".") || strings.ToLower(c.Usage[:1]) != c.Usage[:1] {
			t.Errorf("%s: usage %q: want a few words, without capital and full stop", c.Name, c.Usage)
		}
		if !regexp.MustCompile(`(?m)^ {3,4}certsd ` + c.Name + `\b`).MatchString(c.Description) {
			t.Errorf("%s: no example in the description", c.Name)
		}
		if c.OnUsageError == nil {
			t.Errorf("%s: wrong flags would not be exit code %d", c.Name, exitUsage)
		}
		for line := range strings.SplitSeq(c.Description, "\n") {
			if len(line) > 125 || strings.HasSuffix(line, " ") || strings.Contains(line, "\t") {
				t.Errorf("%s: a line of the description is too long, or ends in blanks, or has a tab: %q", c.Name, line)
			}
		}
		checkFlags(t, c, shown)
	}
	checkFlags(t, root, shown)
}

func checkFlags(t *testing.T, c *cli.Command, page string) {
	t.Helper()
	for _, f := range clidoc.Flags(c) {
		for _, name := range f.Names {
			dashes := map[bool]string{true: "-", false: "--"}[len(name) == 1]
			if !strings.Contains(page, `\fB`+dashes+name+`\fR`) {
				t.Errorf("%s: --%s is not in the manual page", c.Name, name)
			}
		}
		if f.Usage == "" || strings.HasSuffix(strings.TrimSuffix(f.Usage, "..."), ".") {
			t.Errorf("%s: usage of --%s is %q: want a few words without full stop", c.Name, f.Names[0], f.Usage)
		}
		if f.Value != strings.ToUpper(f.Value) || f.Value == "VALUE" {
			t.Errorf("%s: --%s does not name its value in capitals: %q", c.Name, f.Names[0], f.Value)
		}
	}
}

// TestManualPageNamesTheDocuments holds SEE ALSO to what is there.
func TestManualPageNamesTheDocuments(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, file := range files {
		there = append(there, strings.TrimSuffix(filepath.Base(file), ".md"))
	}
	slices.Sort(there)
	if diff := cmp.Diff(there, slices.Sorted(slices.Values(documents))); diff != "" {
		t.Errorf("in docs and in the manual page (-docs +page):\n%s", diff)
	}
}

// TestManualPageNamesTheEnvironment looks for the variables that the command
// reads itself.
func TestManualPageNamesTheEnvironment(t *testing.T) {
	t.Parallel()
	page := printed(t, "man")
	read := regexp.MustCompile(`[gG]etenv\("([A-Z_]+)"\)`)
	for _, pattern := range []string{"*.go", "../../certsd/*.go", "../../gateway/*.go", "../../resolver/*.go", "../../internal/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range read.FindAllSubmatch(text, -1) {
				name := string(m[1])
				if strings.HasSuffix(file, "_test.go") || name == "HOME" || name == "TERM" {
					continue
				}
				if !strings.Contains(page, name) {
					t.Errorf("%s reads %s: it is not in the manual page", file, name)
				}
			}
		}
	}
}

func TestManualPageIsWellFormed(t *testing.T) {
	t.Parallel()
	mandoc := tool(t, "mandoc")
	file := filepath.Join(t.TempDir(), "certsd.1")
	if err := os.WriteFile(file, []byte(printed(t, "man")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mandoc, "-Tlint", "-Wwarning", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestManualPageIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(printed(t, "man"), printed(t, "man")); diff != "" {
		t.Error(diff)
	}
}
