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

// largeRoom is the number of files from which on docs/rooms.md has to describe
// a package file by file.
const largeRoom = 11

var (
	roomTable = regexp.MustCompile(`(?m)^\| ([a-z0-9/-]+)/ \| \|\n\|---\|---\|\n((?:\|.*\n)+)`)
	roomRow   = regexp.MustCompile(`^\| ([a-z0-9_]+\.go(?:, [a-z0-9_]+\.go)*) \| (.*[a-zA-Z].*) \|\n$`)
)

// TestRoomsNameEachFile compares the tables of docs/rooms.md with the files of
// the packages they describe, and finds large packages that have no table.
func TestRoomsNameEachFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/rooms.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, room := range roomTable.FindAllStringSubmatch(string(text), -1) {
		dir := room[1]
		if described[dir] {
			t.Errorf("%s has two tables", dir)
		}
		described[dir] = true
		var named []string
		for row := range strings.Lines(room[2]) {
			m := roomRow.FindStringSubmatch(row)
			if m == nil {
				t.Errorf("%s: this row is not FILE.go, FILE.go | TEXT: %s", dir, row)
				continue
			}
			named = append(named, strings.Split(m[1], ", ")...)
		}
		slices.Sort(named)
		if diff := cmp.Diff(sources(t, dir), named); diff != "" {
			t.Errorf("files of %s (-there +named):\n%s", dir, diff)
		}
	}
	for _, p := range list(t, "./...") {
		dir := strings.TrimPrefix(p.ImportPath, module)
		if n := len(sources(t, dir)); n >= largeRoom && !described[dir] {
			t.Errorf("%s has %d files, and no table in docs/rooms.md", dir, n)
		}
	}
}

// pathInTicks is a file or a package of this module in a document.
var pathInTicks = regexp.MustCompile("`((?:certsd|resolver|v1compat|plugin|gateway|imageservice|keys|cmd|internal|integration)/[a-z0-9_/*]+(?:\\.go)?)`")

// TestArchitectureNamesWhatIsThere finds files and packages that
// docs/architecture.md sends readers to and that are not there.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	look, _, _ := strings.Cut(string(text), "\n## The map")
	paths := pathInTicks.FindAllStringSubmatch(string(text), -1)
	if n := len(pathInTicks.FindAllString(look, -1)); n < 30 {
		t.Errorf(`"Where to look" names %d paths`, n)
	}
	for _, m := range paths {
		if found, err := filepath.Glob("../../" + m[1]); err != nil || len(found) == 0 {
			t.Errorf("docs/architecture.md names %s, which is not there: %v", m[1], err)
		}
	}
	// A row names a file once with its directory; the others of it alone.
	for row := range strings.SplitSeq(look, "\n") {
		for _, m := range regexp.MustCompile("`([a-z0-9_]+\\.go)`").FindAllStringSubmatch(row, -1) {
			if !besideOthers(row, m[1]) {
				t.Errorf("docs/architecture.md names %s, which is in no directory that the row names:\n%s", m[1], row)
			}
		}
	}
}

// nameInFile is a function, method or type, or two of them, and the file in which a
// document says they are.
var nameInFile = regexp.MustCompile("`([A-Za-z.]+)`(?: and `([A-Za-z.]+)`)? in `((?:[a-z0-9]+/)+[a-z0-9_]+\\.go)`")

// TestArchitectureNamesWhatIsDeclared finds functions, methods and types that
// docs/architecture.md looks for in the wrong file.
func TestArchitectureNamesWhatIsDeclared(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	all := nameInFile.FindAllStringSubmatch(string(text), -1)
	if len(all) < 10 {
		t.Errorf("found %d names in files", len(all))
	}
	for _, m := range all {
		code, err := os.ReadFile("../../" + m[3])
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range []string{m[1], m[2]} {
			if name != "" && !declared(name).Match(code) {
				t.Errorf("docs/architecture.md: %s does not declare %s", m[3], name)
			}
		}
	}
}

// declared matches the declaration of a function or type NAME, or a method TYPE.NAME.
func declared(name string) *regexp.Regexp {
	if receiver, method, ok := strings.Cut(name, "."); ok {
		return regexp.MustCompile(`(?m)^func \(\w+ \*?` + receiver + `\) ` + method + `\(`)
	}
	return regexp.MustCompile(`(?m)^(?:func ` + name + `[(\[]|type ` + name + ` )`)
}

// besideOthers reports whether a file is in one of the directories that a row of
// a table names, or beside one of its files.
func besideOthers(row, file string) bool {
	for _, m := range pathInTicks.FindAllStringSubmatch(row, -1) {
		for _, dir := range []string{m[1], filepath.Dir(m[1])} {
			if _, err := os.Stat(filepath.Join("../..", dir, file)); err == nil {
				return true
			}
		}
	}
	return false
}

// sources are the names of the Go files of a directory, without tests, for
// whatever system they are.
func sources(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../../" + dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			names = append(names, filepath.Base(file))
		}
	}
	return names
}
