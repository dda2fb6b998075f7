package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registries makes directories and returns their root.
func registries(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRegistriesAreCompleted(t *testing.T) {
	t.Parallel()
	root := registries(t, "_default", "reg.test_5000_", "reg.test", "mirror.test:444", ".git")
	got := printed(t, "completion", "words", "--", "check", "--root", root, "reg")
	if want := "reg.test\nreg.test:5000\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := printed(t, "completion", "words", "--", "check", "--root", filepath.Join(root, "none"), ""); got != "" {
		t.Errorf("without a root: %q", got)
	}
}

// asShell runs a script in a directory with certsd first in $PATH, and the line
// in $LINE.
func asShell(t *testing.T, shell, line, script string) string {
	t.Helper()
	path := tool(t, shell)
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "certsd")); err != nil {
		t.Fatal(err)
	}
	text := printed(t, "completion", shell)
	if err := os.WriteFile(filepath.Join(dir, "completion"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "RUN_AS_CERTSD=1", "HOME="+dir, "LINE="+line)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return string(out)
}

func TestShellsComplete(t *testing.T) {
	t.Parallel()
	root := registries(t, "reg.test_5000_", "reg.test_5001_")
	// What is typed up to the cursor, and what the shell offers. bash takes what
	// is after the last colon for the word.
	bash := `source ./completion; COMP_LINE="$LINE"; COMP_POINT=${#LINE}; _certsd; printf '%s\n' "${COMPREPLY[@]}"`
	fish := `source ./completion; complete --do-complete "$LINE" | string replace -r '\t.*' ''; or true`
	for _, tt := range []struct{ shell, line, script, want string }{
		{"bash", "certsd ch", bash, "check"},
		{"bash", "certsd check --off", bash, "--offline"},
		{"bash", "certsd check --root " + root + " reg.test:500", bash, "5000\n5001"},
		{"bash", "certsd check --root " + root + " r", bash, "reg.test:5000\nreg.test:5001"},
		{"fish", "certsd ch", fish, "check"},
		{"fish", "certsd check --off", fish, "--offline"},
		{"fish", "certsd check --root " + root + " reg.test:500", fish, "reg.test:5000\nreg.test:5001"},
		{"zsh", "", `autoload -U compinit; compinit -u; source ./completion; print ${_comps[certsd]}; zsh -n ./completion`, "_certsd"},
	} {
		t.Run(tt.shell+" "+strings.TrimPrefix(tt.line, "certsd "), func(t *testing.T) {
			t.Parallel()
			got := asShell(t, tt.shell, tt.line, tt.script)
			if diff := cmp.Diff(tt.want, strings.TrimSpace(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompletionOfUnknownShells(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"completion"}, {"completion", "csh"}, {"completion", "bash", "zsh"}} {
		if code := run(t.Context(), append([]string{"certsd"}, args...), new(strings.Builder), new(strings.Builder)); code != exitUsage {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}
