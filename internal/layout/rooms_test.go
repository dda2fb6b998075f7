package layout

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArchitectureNamesEachFile compares the tables of docs/architecture.md that
// describe a package file by file with the files there are.
func TestArchitectureNamesEachFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rooms := regexp.MustCompile(`(?m)^\| ((?:certsd|resolver|gateway|internal/check)/[a-z/]*) \| \|\n\|---\|---\|\n((?:\|.*\n)+)`).FindAllStringSubmatch(string(text), -1)
	if len(rooms) != 8 {
		t.Fatalf("%d tables of files", len(rooms))
	}
	for _, room := range rooms {
		var want, got []string
		files, err := filepath.Glob("../../" + room[1] + "*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				want = append(want, filepath.Base(file))
			}
		}
		for row := range strings.Lines(room[2]) {
			first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
			got = append(got, strings.Split(first, ", ")...)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files of %s (-there +named):\n%s", room[1], diff)
		}
	}
}
