package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/go/packages"
)

// uncalled are the exported names that nobody calls, and why they are there: for
// users of the libraries. A name that is not among them needs a caller in another
// package, or an example. What only a command needs belongs into internal.
var uncalled = map[string]string{
	"keys/tpmkey.ErrPassword":  "why a key of a TPM is not used, for errors.Is",
	"keys/tpmkey.ErrPolicy":    "why a key of a TPM is not used, for errors.Is",
	"plugin.Config":            "containerd makes it: its fields are the keys of the configuration",
	"v1compat.NextForUnusable": "how the text of UnusableError ends",
	"v1compat.UnusableError":   "an image that nobody can convert, for errors.As",
}

// TestExportedNamesHaveCallers keeps the libraries from promising more than
// somebody needs: each exported name and method has a caller outside its package,
// or is in an example.
func TestExportedNamesHaveCallers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name := range a.exported {
		a.settle(name)
	}
	var found []string
	for name := range a.exported {
		if !a.called[name] {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(uncalled)), found, cmp.Transformer("all", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		t.Errorf("exported names without a caller outside their package, and without an example (-said here +found):\n%s", diff)
	}
}

// api is what the libraries export, by names such as "resolver.New" and
// "resolver.Hosts.Lookup", and who calls it.
type api struct {
	exported map[string]types.Object
	called   map[string]bool
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{exported: map[string]types.Object{}, called: map[string]bool{}}
	loaded, err := packages.Load(&packages.Config{
		Context: t.Context(), Dir: "../..",
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	interfaces := []*types.Interface{types.Universe.Lookup("error").Type().Underlying().(*types.Interface)} //nolint:errcheck // it is one
	for _, p := range loaded {
		if len(p.Errors) > 0 {
			t.Fatalf("%s: %v", p.PkgPath, p.Errors)
		}
		if library(p.PkgPath) {
			interfaces = append(interfaces, interfacesFor(p.Types)...)
		}
	}
	for _, p := range loaded {
		if library(p.PkgPath) {
			a.export(p.Types, interfaces)
			a.examples(t, p)
		}
	}
	for _, p := range loaded {
		for _, used := range p.TypesInfo.Uses {
			if used.Pkg() != nil && used.Pkg() != p.Types {
				a.called[nameOf(used)] = true
			}
		}
	}
	a.nested(t)
	return a
}

// library reports whether a package is one that others may import.
func library(path string) bool {
	name, ours := strings.CutPrefix(path, module)
	first, _, _ := strings.Cut(name, "/")
	// Who calls v1test are tests.
	return ours && name != "v1compat/v1test" && !slices.Contains([]string{"internal", "cmd", "packaging", "docs", "integration", "demo"}, first)
}

// nameOf is the name of a package's object, or of a method; empty for others.
func nameOf(o types.Object) string {
	path, ours := strings.CutPrefix(o.Pkg().Path(), module)
	if !ours {
		return ""
	}
	if f, ok := o.(*types.Func); ok {
		o = f.Origin()
		if recv := f.Signature().Recv(); recv != nil {
			if named := namedOf(recv.Type()); named != nil {
				return path + "." + named.Obj().Name() + "." + o.Name()
			}
			return ""
		}
	}
	if o.Parent() != o.Pkg().Scope() {
		return ""
	}
	return path + "." + o.Name()
}

func namedOf(t types.Type) *types.Named {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	named, _ := t.(*types.Named)
	return named
}

// export adds what a package exports.
func (a *api) export(p *types.Package, interfaces []*types.Interface) {
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		a.exported[nameOf(o)] = o
		tn, ok := o.(*types.TypeName)
		if !ok || tn.IsAlias() {
			continue
		}
		named, ok := tn.Type().(*types.Named)
		if !ok || types.IsInterface(named) {
			continue
		}
		for m := range named.Methods() {
			if m.Exported() && !implements(named, m.Name(), interfaces) {
				a.exported[nameOf(m)] = m
			}
		}
	}
}

// interfacesFor are the interfaces that types of a package may be there for.
func interfacesFor(p *types.Package) []*types.Interface {
	var all []*types.Interface
	for _, scope := range append(p.Imports(), p) {
		for _, name := range scope.Scope().Names() {
			if i, ok := scope.Scope().Lookup(name).Type().Underlying().(*types.Interface); ok && i.NumMethods() > 0 {
				all = append(all, i)
			}
		}
	}
	return all
}

// implements reports whether a method is one of an interface that its type
// implements, or one that the standard library looks for without a name for it.
func implements(named *types.Named, method string, interfaces []*types.Interface) bool {
	if slices.Contains([]string{"Unwrap", "Is", "As", "String", "UnmarshalText", "MarshalText"}, method) {
		return true
	}
	return slices.ContainsFunc(interfaces, func(i *types.Interface) bool {
		found, _, _ := types.LookupFieldOrMethod(i, false, nil, method)
		return found != nil && types.Implements(types.NewPointer(named), i)
	})
}

// settle has what a called name shows count as called, too: the types of what it
// takes and returns, the values of a type.
func (a *api) settle(name string) {
	o := a.exported[name]
	if c, ok := o.(*types.Const); ok {
		if named := namedOf(c.Type()); named != nil && library(named.Obj().Pkg().Path()) {
			a.called[name] = true // it comes with its type
		}
	}
	if !a.called[name] {
		return
	}
	seen := map[types.Type]bool{}
	var show func(t types.Type)
	show = func(t types.Type) {
		if seen[t] {
			return
		}
		seen[t] = true
		switch t := t.(type) {
		case *types.Alias:
			if t.Obj().Pkg() != nil {
				a.called[nameOf(t.Obj())] = true
			}
			show(types.Unalias(t))
		case *types.Named:
			if t.Obj().Pkg() != nil {
				a.called[nameOf(t.Obj())] = true
				if library(t.Obj().Pkg().Path()) {
					show(t.Underlying())
				}
			}
		case *types.Struct:
			for f := range t.Fields() {
				if f.Exported() {
					show(f.Type())
				}
			}
		case *types.Signature:
			for v := range t.Params().Variables() {
				show(v.Type())
			}
			for v := range t.Results().Variables() {
				show(v.Type())
			}
		case *types.Interface:
			for m := range t.Methods() {
				show(m.Type())
			}
		case *types.Map:
			show(t.Key())
			show(t.Elem())
		case interface{ Elem() types.Type }:
			show(t.Elem())
		}
	}
	show(o.Type())
}

// examples are callers.
func (a *api) examples(t *testing.T, p *packages.Package) {
	t.Helper()
	tests, err := filepath.Glob(filepath.Join(filepath.Dir(p.GoFiles[0]), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tests {
		file := parse(t, path)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Example") && strings.HasSuffix(file.Name.Name, "_test") {
				about := strings.TrimPrefix(f.Name.Name, "Example")
				a.called[strings.TrimPrefix(p.PkgPath, module)+"."+strings.ReplaceAll(about, "_", ".")] = true
				a.selected(file, f)
			}
		}
	}
}

// nested has the callers in the modules below this one.
func (a *api) nested(t *testing.T) {
	t.Helper()
	mods, err := filepath.Glob("../../cmd/*/go.mod")
	if err != nil || len(mods) == 0 {
		t.Fatalf("no module below cmd: %v", err)
	}
	for _, mod := range mods {
		err := filepath.WalkDir(filepath.Dir(mod), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				file := parse(t, path)
				a.selected(file, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// selected takes what a part of a file selects of imported packages for called.
func (a *api) selected(file *ast.File, part ast.Node) {
	imported := map[string]string{}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		imported[name] = strings.TrimPrefix(path, module)
	}
	for n := range ast.Preorder(part) {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				a.called[fmt.Sprintf("%s.%s", imported[x.Name], s.Sel.Name)] = true
			}
		}
	}
}
