package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// small is the number of files up to which a package needs no order to be read in.
const small = 4

var fileName = regexp.MustCompile(`[a-z0-9_*]+\.go\b`)

// TestPackageCommentsNameFiles holds that the comment of each package of more
// than a few files says which of them to read: it names at least half of them,
// and none that is not there. A package of tests is read by the same rule.
func TestPackageCommentsNameFiles(t *testing.T) {
	t.Parallel()
	packages := packageDirs(t)
	if len(packages) < 20 {
		t.Fatalf("found %d packages", len(packages))
	}
	for dir, files := range packages {
		comment, read := packageComment(t, files), toRead(files)
		named := map[string]bool{}
		for _, pattern := range fileName.FindAllString(comment, -1) {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(found) == 0 {
				t.Errorf("%s: the package comment names %s, which is not there: %v", dir, pattern, err)
			}
			for _, file := range found {
				named[file] = true
			}
		}
		missing := slices.DeleteFunc(slices.Clone(read), func(file string) bool { return named[file] })
		if len(read) > small && 2*len(missing) > len(read) {
			t.Errorf("%s: the package comment leaves out %d of %d files: %q", dir, len(missing), len(read), missing)
		}
	}
}

// packageDirs are the Go files of every package of the repository by directory,
// those of nested modules and of other systems included.
func packageDirs(t *testing.T) map[string][]string {
	t.Helper()
	packages := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return err
		case e.IsDir() && path != "../.." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "bin", "dist"}, name)):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go"):
			packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// toRead are the files that a reader has before them: those of the package, or
// its tests where it has nothing else.
func toRead(files []string) []string {
	isOther := func(file string) bool { return strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "doc.go" }
	if code := slices.DeleteFunc(slices.Clone(files), isOther); len(code) > 0 {
		return code
	}
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return filepath.Base(file) == "doc.go" })
}

// packageComment is the comment above the package clause, in whichever file it is.
func packageComment(t *testing.T, files []string) string {
	t.Helper()
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil && isPackageComment(f) {
			return f.Doc.Text()
		}
	}
	return ""
}

func isPackageComment(f *ast.File) bool {
	text := f.Doc.Text()
	return strings.HasPrefix(text, "Package ") || strings.HasPrefix(text, "Command ")
}
