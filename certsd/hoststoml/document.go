package hoststoml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// document is a parsed TOML file that knows the lines of its keys. Reading values
// through it collects the problems with them.
type document struct {
	*tomlpos.Document
	problems []*Problem
}

// parseDocument parses TOML.
func parseDocument(file string, data []byte) (*document, *Problem) {
	data, err := plainfile.Text(file, data)
	if err != nil {
		return nil, &Problem{Kind: Syntax, Err: err}
	}
	doc, err := tomlpos.Parse(data)
	var syntax *tomlpos.SyntaxError
	if errors.As(err, &syntax) {
		return nil, &Problem{Kind: Syntax, Line: syntax.Line, Err: syntax}
	}
	return &document{Document: doc}, nil
}

// problem reports something wrong with the value of a key.
func (d *document) problem(kind Kind, path []string, err error) {
	d.problems = append(d.problems, &Problem{Kind: kind, Line: d.Line(path), Key: tomlpos.Dotted(path), Err: err})
}

// table is one table of a document.
type table struct {
	doc    *document
	path   []string
	values map[string]any
}

func (t table) key(name string) []string { return append(slices.Clone(t.path), name) }

func (t table) fail(name string, format string, args ...any) {
	t.doc.problem(Value, t.key(name), fmt.Errorf(format, args...))
}

func (t table) unknown(name string, err error) {
	t.doc.problem(UnknownKey, t.key(name), err)
}

func (t table) wrongType(name, want string) {
	t.fail(name, "is %s, must be %s", tomlpos.Kind(t.values[name]), want)
}

func (t table) has(name string) bool {
	_, found := t.values[name]
	return found
}

func (t table) string(name string) string {
	value, found := t.values[name]
	text, ok := value.(string)
	if found && !ok {
		t.wrongType(name, "a string")
	}
	return text
}

func (t table) bool(name string) *bool {
	value, found := t.values[name]
	if !found {
		return nil
	}
	b, ok := value.(bool)
	if !ok {
		t.wrongType(name, "true or false")
		return nil
	}
	return &b
}

// strings reads a list of strings.
func (t table) strings(name string) []string {
	value, found := t.values[name]
	if !found {
		return nil
	}
	list, ok := tomlpos.Strings(value)
	if !ok {
		t.wrongType(name, "a list of strings")
	}
	return list
}

// stringOrList reads one string or a list of them. The result is not nil if the key is
// present and valid.
func (t table) stringOrList(name string) []string {
	value, found := t.values[name]
	if !found {
		return nil
	}
	if text, ok := value.(string); ok {
		return []string{text}
	}
	list, ok := tomlpos.Strings(value)
	if !ok {
		t.wrongType(name, "a string or a list of strings")
	}
	return list
}

func (t table) duration(name string) time.Duration {
	text := t.string(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.fail(name, `%q is not a duration such as "5s" or "500ms"`, text)
		return 0
	}
	if d < 0 {
		t.fail(name, "%q is negative", text)
		return 0
	}
	return d
}

// sub returns the table under a key.
func (t table) sub(name string) (table, bool) {
	value, found := t.values[name]
	values, ok := value.(map[string]any)
	if found && !ok {
		t.wrongType(name, "a table")
	}
	return table{doc: t.doc, path: t.key(name), values: values}, ok
}

// names returns the keys of the table in file order.
func (t table) names() []string { return t.doc.Names(t.path, t.values) }

// only reports a problem for each key that is not in known.
func (t table) only(known ...string) {
	for _, name := range t.names() {
		if slices.Contains(known, name) {
			continue
		}
		if hint := nearest(name, known); hint != "" {
			t.unknown(name, fmt.Errorf("unknown key; did you mean %q?", hint))
		} else {
			t.unknown(name, fmt.Errorf("unknown key; known here: %s", strings.Join(known, ", ")))
		}
	}
}
