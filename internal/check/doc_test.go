package check

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// documented are the words in backticks at the beginning of the rows of
// docs/check.md that match.
func documented(t *testing.T, section string, word *regexp.Regexp) []string {
	t.Helper()
	data, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var words []string
	for line := range strings.Lines(text) {
		cell, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		cell, _, _ = strings.Cut(cell, " |")
		for _, m := range word.FindAllString("`"+cell, -1) {
			words = append(words, strings.Trim(m, "`"))
		}
	}
	slices.Sort(words)
	return words
}

// codes are the constants of a type in a file.
func codes(t *testing.T, file, typ string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if ident, ok := spec.Type.(*ast.Ident); !ok || ident.Name != typ {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok {
				value, _ := strconv.Unquote(lit.Value)
				found = append(found, value)
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("no %s in %s", typ, file)
	}
	return found
}

func TestEachCodeIsDocumented(t *testing.T) {
	t.Parallel()
	want := slices.Concat(codes(t, "finding.go", "Code"), codes(t, "../../certsd/hostdir/problem_code.go", "ProblemCode"))
	slices.Sort(want)
	compare(t, want, documented(t, "Findings", regexp.MustCompile("`[a-z0-9-]+`")))
}

// Each finding has its severity in one table.
func TestEachCodeHasASeverity(t *testing.T) {
	t.Parallel()
	var got []string
	for code := range severities {
		got = append(got, string(code))
	}
	slices.Sort(got)
	want := slices.Concat(codes(t, "finding.go", "Code"), codes(t, "../../certsd/hostdir/problem_code.go", "ProblemCode"))
	slices.Sort(want)
	compare(t, want, got)
}

func TestEachSeverityIsDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| (error|warning|either) \\|").FindAllStringSubmatch(string(data), -1) {
		for _, code := range regexp.MustCompile("[a-z0-9-]+").FindAllString(row[1], -1) {
			documented[code] = row[2]
		}
	}
	for code, severity := range severities {
		if severity == asReported {
			severity = "either"
		}
		if got := documented[string(code)]; got != severity {
			t.Errorf("%s: documented as %q, and is %s", code, got, severity)
		}
	}
}

// The JSON has the fields of the documentation and no others. Types that come
// again are described once.
func TestEachFieldIsDocumented(t *testing.T) {
	t.Parallel()
	again := map[string]bool{
		"registries[].push.requests[]": true,
		"registries[].findings[]":      true, "registries[].endpoints[].live.tls.chain[]": true,
		"registries[].endpoints[].live.answers[].v2": true, "registries[].endpoints[].live.answers[].v1_ping": true,
	}
	want := []string{"findings[]"}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch {
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.String:
			walk(path+"[]", typ.Elem())
		case again[path] || typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]():
			want = append(want, path)
		default:
			for _, field := range reflect.VisibleFields(typ) {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				walk(strings.TrimPrefix(path+"."+name, "."), field.Type)
			}
		}
	}
	walk("", reflect.TypeFor[Report]())
	slices.Sort(want)
	compare(t, want, documented(t, "JSON", regexp.MustCompile("`[^`]+`")))
}

func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	for verdict, code := range map[Verdict]int{Works: ExitWorks, Unasked: ExitWorks, Refused: ExitRefused, Unusable: ExitUnusable} {
		r := &Report{Registries: []*Registry{{Verdict: Works}, {Verdict: verdict}}}
		row := regexp.MustCompile(`(?m)^\| ` + strconv.Itoa(r.ExitCode()) + ` \|.*` + "`" + string(verdict) + "`")
		if r.ExitCode() != code || !row.Match(data) {
			t.Errorf("%s: exit code %d, documented otherwise", verdict, r.ExitCode())
		}
	}
}
