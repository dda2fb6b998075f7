package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestLogMessagesAreExplained compares the messages that are written to a log
// with those in operations.md.
func TestLogMessagesAreExplained(t *testing.T) {
	t.Parallel()
	var documented []string
	levels := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(certsd[^`]*)` \\| (\\w+) \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(read(t, "operations.md"), -1) {
		message := strings.TrimSuffix(row[1], "…")
		documented = append(documented, message)
		levels[message] = row[2]
	}
	written := logMessages(t, "../internal/telemetry", "../plugin", "../gateway", "../imageservice")
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(written)), documented); diff != "" {
		t.Errorf("messages in the code and in operations.md (-code +document):\n%s", diff)
	}
	for message, level := range written {
		if level != "" && levels[message] != level {
			t.Errorf("%q is written at level %s, and documented at %s", message, level, levels[message])
		}
	}
}

// logMessages finds the texts that begin with "certsd" and are logged, with the
// level, empty if the call does not tell.
func logMessages(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	messages := map[string]string{}
	for _, dir := range dirs {
		constants := map[string]string{}
		var files []*ast.File
		names, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(names), err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
			for _, spec := range specs(file) {
				for i, id := range spec.Names {
					if i < len(spec.Values) && strings.HasPrefix(id.Name, "msg") {
						constants[id.Name] = text(spec.Values[i], nil)
						messages[constants[id.Name]] = ""
					}
				}
			}
		}
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				if level, message := logged(n, constants); message != "" {
					messages[message] = level
				}
				return true
			})
		}
	}
	return messages
}

func specs(file *ast.File) []*ast.ValueSpec {
	var all []*ast.ValueSpec
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					all = append(all, v)
				}
			}
		}
	}
	return all
}

// logged returns level and message of a call that logs one of our messages.
func logged(n ast.Node, constants map[string]string) (level, message string) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", ""
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if pkg, ok := method.X.(*ast.Ident); ok && pkg.Name == "fmt" {
		return "", ""
	}
	level = map[string]string{"Debug": "debug", "Info": "info", "Warn": "warning", "Error": "error"}[strings.TrimSuffix(method.Sel.Name, "f")]
	// "certsd gateway: " alone goes on with how far a conversion is.
	message = strings.TrimSuffix(text(call.Args[0], constants), "certsd gateway: ")
	if level == "" || !strings.HasPrefix(message, "certsd") {
		return "", ""
	}
	return level, message
}

// text is a constant text, as far as it is one.
func text(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			return ""
		}
		return s
	case *ast.Ident:
		return constants[e.Name]
	case *ast.BinaryExpr:
		return text(e.X, constants)
	}
	return ""
}

// TestAlerts reads the rules the way Prometheus does, as far as that goes
// without it: each has what it needs, and asks for metrics and labels there are.
func TestAlerts(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "alerts.yaml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	metrics := firstColumn(section(read(t, "configuration.md"), "## Metrics"))
	var alerts []string
	used := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: severity, summary or description is missing", r.Alert)
			}
			found := regexp.MustCompile(`certsd_\w+`).FindAllString(r.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s asks for no metric: %s", r.Alert, r.Expr)
			}
			for _, name := range found {
				used[name] = true
				if _, ok := metrics[name]; !ok {
					t.Errorf("%s: there is no metric %s", r.Alert, name)
				}
			}
			for _, m := range regexp.MustCompile(`(certsd_\w+)\{(\w+)=`).FindAllStringSubmatch(r.Expr, -1) {
				if !strings.Contains(metrics[m[1]], "`"+m[2]+"`") {
					t.Errorf("%s: %s has no label %s", r.Alert, m[1], m[2])
				}
			}
			for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"], -1) {
				if by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(r.Expr); by != nil && !strings.Contains(by[1], m[1]) {
					t.Errorf("%s: the summary has %s, which the expression leaves out", r.Alert, m[1])
				}
			}
		}
	}
	if !used["certsd_identity_expiry_timestamp_seconds"] {
		t.Error("no alert for expiry")
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(Certsd\\w+)` \\|").FindAllStringSubmatch(read(t, "operations.md"), -1) {
		documented = append(documented, row[1])
	}
	if diff := cmp.Diff(alerts, documented); diff != "" {
		t.Errorf("alerts.yaml and operations.md (-rules +document):\n%s", diff)
	}
}

// TestSpansAreDocumented compares the names and attributes of the spans.
func TestSpansAreDocumented(t *testing.T) {
	t.Parallel()
	source := read(t, "../resolver/trace.go")
	document := section(read(t, "operations.md"), "## Spans")
	var names, documented []string
	for _, m := range regexp.MustCompile(`= "(certsd\.\w+)"`).FindAllStringSubmatch(source, -1) {
		names = append(names, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(certsd\\.\\w+)` \\|").FindAllStringSubmatch(document, -1) {
		documented = append(documented, m[1])
	}
	if diff := cmp.Diff(names, documented); diff != "" {
		t.Errorf("spans (-code +document):\n%s", diff)
	}
	for _, m := range regexp.MustCompile(`(?:attribute\.\w+|WithAttribute)\("([a-z]+)"`).FindAllStringSubmatch(source, -1) {
		if !strings.Contains(document, "`"+m[1]+"`") {
			t.Errorf("the attribute %s is not documented", m[1])
		}
	}
}
