package layout

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageComment finds packages without a package comment, with several,
// and with one that does not begin as godoc wants it.
func TestPackageComment(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		var comments []string
		for _, file := range p.files() {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc == nil {
				continue
			}
			comments = append(comments, filepath.Base(file))
			want := "Package " + p.Name + " "
			if p.Name == "main" {
				want = "Command " + filepath.Base(p.Dir) + " "
			}
			if text := f.Doc.Text(); !strings.HasPrefix(text, want) {
				t.Errorf("%s: the package comment begins %.40q, want %q", file, text, want)
			}
		}
		if len(comments) != 1 {
			t.Errorf("%s has package comments in %q, want exactly one", p.ImportPath, comments)
		}
	}
}
