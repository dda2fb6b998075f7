package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityNamesItsTests looks for each test that security.md names, and for
// a test in each row of its tables: a promise that nothing holds is none.
func TestSecurityNamesItsTests(t *testing.T) {
	t.Parallel()
	text := read(t, "security.md")
	named := regexp.MustCompile("`([\\w/]+)\\.((?:Test|Fuzz)\\w+)`")
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		if !testsIn(t, m[1])[m[2]] {
			t.Errorf("security.md: there is no test %s in %s", m[2], m[1])
		}
	}
	rows := 0
	for _, row := range regexp.MustCompile(`(?m)^\|.*\|$`).FindAllString(text, -1) {
		if strings.HasPrefix(row, "|---") || strings.HasSuffix(row, "| held by |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if by := cells[len(cells)-1]; !named.MatchString(by) && !strings.Contains(by, ".txtar`") {
			t.Errorf("security.md: no test holds: %s", row)
		}
	}
	if rows == 0 {
		t.Error("security.md promises nothing")
	}
}

// testsIn are the tests and fuzz targets of a directory.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				found[fn.Name.Name] = true
			}
		}
	}
	return found
}
