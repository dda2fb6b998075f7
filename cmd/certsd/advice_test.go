package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// texts are the strings that the programs can say, by where they stand: what is
// put together with + is one, and what is no literal is X.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	fset := token.NewFileSet()
	visit := func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "upstream" || strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2):
			return fs.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, literal := said(e)
			if literal {
				all[fset.Position(e.Pos()).String()] = text
			}
			return !literal
		})
		return nil
	}
	if err := filepath.WalkDir("../..", visit); err != nil {
		t.Fatal(err)
	}
	return all
}

// said is what an expression of strings says, and whether it has a literal.
func said(e ast.Expr) (text string, literal bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, inLeft := said(e.X)
		right, inRight := said(e.Y)
		return left + right, e.Op == token.ADD && (inLeft || inRight)
	default:
		return "X", false
	}
}

// advised finds a command in a text: up to what ends it in a sentence.
var advised = regexp.MustCompile(`\bcertsd (check|pull|copy|migrate|gateway|cri|demo)\b(?:,\S|[^\n;,)"` + "`" + `])*`)

// Each command that a text names is one that can be typed.
func TestCommandsInTexts(t *testing.T) {
	t.Parallel()
	all := texts(t)
	found := 0
	for _, where := range slices.Sorted(mapKeys(all)) {
		for _, at := range advised.FindAllStringIndex(all[where], -1) {
			line := all[where][at[0]:at[1]]
			if prose.MatchString(line) {
				continue
			}
			found++
			if err := typed(t.Context(), line); err != nil {
				t.Errorf("%s: %q: %v", where, line, err)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d commands: the texts are not found", found)
	}
	for _, wrong := range []string{"certsd check", "certsd check --root /a", "certsd check --all reg.test", "certsd migrate --no-such", "certsd pull", "certsd check --root"} {
		if typed(t.Context(), wrong) == nil {
			t.Errorf("%q is taken for a command that can be typed", wrong)
		}
	}
}

// prose are texts that begin as a command does: the prefix of a daemon's log
// lines, and a command that is spoken of.
var prose = regexp.MustCompile(`^certsd [a-z]+:|^certsd (check|pull|copy|migrate|gateway|cri|demo)( [a-z]+ [a-z]+ .*|$)`)

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// typed reports what is wrong with a command line, without executing it.
func typed(ctx context.Context, line string) error {
	line = regexp.MustCompile(`%(\[\d\])?[a-z]`).ReplaceAllString(line, "x.test")
	line = strings.NewReplacer("REGISTRY", "x.test", "REPOSITORY", "team/app", "'", "").Replace(line)
	return parsed(ctx, strings.Fields(line))
}

// parsed reports what is wrong with the words of a command line.
func parsed(ctx context.Context, line []string) error {
	root := command(io.Discard, io.Discard)
	for _, sub := range root.Commands {
		sub.Action = func(_ context.Context, c *cli.Command) error {
			n := map[string][]int{"check": {1}, "pull": {1}, "copy": {2}, "gateway": {0, 1}, "migrate": {0}}[c.Name]
			if c.Name == "check" && c.Bool("all") {
				n = []int{0}
			}
			if n != nil && !slices.Contains(n, c.Args().Len()) {
				return fmt.Errorf("%d arguments", c.Args().Len())
			}
			return nil
		}
	}
	return root.Run(ctx, line)
}

// A document that a text names is found by who has installed the programs alone:
// it stands there with its address, and there is one.
func TestDocumentsInTexts(t *testing.T) {
	t.Parallel()
	const address = "https://github.com/certsd/containerd-certsd/blob/main/"
	document := regexp.MustCompile(`[\w./:-]*(?:\bdocs/[\w-]*|\.toml\.example)(?:\.md)?`)
	found := 0
	for where, text := range texts(t) {
		for _, name := range document.FindAllString(text, -1) {
			found++
			if strings.Contains(name, "/X") {
				// A list of them all, which has a test of its own.
				continue
			}
			path, ok := strings.CutPrefix(name, address)
			if _, err := os.Stat(filepath.Join("../..", path)); !ok || err != nil {
				t.Errorf("%s: %q is no address of a document: %v", where, name, err)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d documents: the texts are not found", found)
	}
}
