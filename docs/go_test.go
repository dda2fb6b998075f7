package docs

import (
	"encoding/json"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGoIsCompiled compiles each program that is shown, as it stands there, with all
// that it imports. It is not linked: that takes most of the time of a build.
func TestGoIsCompiled(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	// Packages that are in no directory: the go command takes them from here.
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	args := []string{"list", "-export", "-overlay", filepath.Join(t.TempDir(), "overlay.json")}
	shown := map[string]int{}
	for file, text := range documents(t) {
		for _, program := range goBlocks(text) {
			shown[file]++
			if tidy, err := format.Source([]byte(program)); err != nil || string(tidy) != program {
				t.Errorf("%s: not formatted as gofmt does: %v\n%s", file, err, program)
			}
			name := fmt.Sprintf("shown%d", len(overlay.Replace))
			source := filepath.Join(t.TempDir(), name+".go")
			if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay.Replace[filepath.Join(here, name, filepath.Base(file)+".go")] = source
			args = append(args, "./"+name)
		}
	}
	if shown["../README.md"] == 0 {
		t.Fatal("the README shows no Go")
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(args[3], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Errorf("Go that is shown: %v\n%s", err, out)
	}
}

// goBlocks are what documents have between a line "```go" and one "```".
func goBlocks(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestGoIsWhole: nobody can compile a line or two of a program, and neither can
// the test above.
func TestGoIsWhole(t *testing.T) {
	t.Parallel()
	fragment := regexp.MustCompile(`(?m)^\S.* := |^(import|func|type) .*[({]$|\b[a-z]\w*\.[A-Z]\w*(\{|\(.*\)$)`)
	for file, text := range documents(t) {
		for _, block := range blocks(text) {
			if found := fragment.FindString(block); found != "" {
				t.Errorf("%s: %q looks like Go: show the whole program between ```go and ```", file, found)
			}
		}
		for _, program := range goBlocks(text) {
			if !strings.HasPrefix(program, "package main\n") || !strings.Contains(program, "\nfunc main() {") {
				t.Errorf("%s: no whole program:\n%s", file, program)
			}
		}
	}
}
