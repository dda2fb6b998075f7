package migrate

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// document is a parsed TOML file that knows the places of its keys. Reading values of
// the wrong type adds to errs.
type document struct {
	file   string
	root   map[string]any
	places map[string]place // by joined key
	// self is the document's place in a larger one.
	self place
	// firstTable is the line of the first table header, zero if there is none.
	firstTable int
	errs       []error
}

// parseTOML parses a file.
func parseTOML(file string, data []byte) (*document, error) {
	parsed, err := tomlpos.Parse(data)
	var syntax *tomlpos.SyntaxError
	if errors.As(err, &syntax) {
		return nil, place{file: file, line: syntax.Line}.errorf("%w", syntax)
	}
	d := &document{file: file, root: parsed.Root, places: map[string]place{}, firstTable: parsed.FirstTable}
	for path, line := range parsed.Lines() {
		d.places[join(path)] = place{file, line, dotted(path)}
	}
	return d, nil
}

// dotted returns a key for a message. An address with a user is reduced to the host.
func dotted(path []string) string {
	path = slices.Clone(path)
	for i, part := range path {
		path[i] = shown(part)
	}
	return tomlpos.Dotted(path)
}

func join(path []string) string { return strings.Join(path, "\x00") }

// at returns the place of a key.
func (d *document) at(path []string) place {
	if at, known := d.places[join(path)]; known {
		return at
	}
	return place{file: d.file, key: dotted(path)}
}

// has reports whether a key of this name occurs anywhere in the file.
func (d *document) has(name string) bool {
	for key := range d.places {
		if slices.Contains(strings.Split(key, "\x00"), name) {
			return true
		}
	}
	return false
}

// sub returns the table at a path as a document, nil if there is none. It keeps the
// places in the file.
func (d *document) sub(path ...string) *document {
	t := d.table()
	for _, name := range path {
		if !t.has(name) {
			return nil
		}
		t = t.table(name)
	}
	sub := &document{file: d.file, root: t.values, places: map[string]place{}, self: d.at(path)}
	prefix := join(path) + "\x00"
	for key, at := range d.places {
		if relative, found := strings.CutPrefix(key, prefix); found {
			sub.places[relative] = at
		}
	}
	return sub
}

// over merges a document over an earlier one, which may be nil, as containerd does:
// tables are merged, other values replaced.
func (d *document) over(earlier *document) *document {
	if earlier == nil {
		return d
	}
	merged := *d
	merged.root = mergeTables(earlier.root, d.root)
	merged.places = maps.Clone(earlier.places)
	maps.Copy(merged.places, d.places)
	return &merged
}

func mergeTables(to, from map[string]any) map[string]any {
	merged := maps.Clone(to)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range from {
		over, ok := value.(map[string]any)
		under, both := merged[key].(map[string]any)
		if ok && both {
			value = mergeTables(under, over)
		}
		merged[key] = value
	}
	return merged
}

// table is one table of a document.
type table struct {
	doc    *document
	path   []string
	values map[string]any
}

func (d *document) table() table { return table{doc: d, values: d.root} }

func (t table) key(name string) []string { return append(slices.Clone(t.path), name) }

func (t table) at(name string) place { return t.doc.at(t.key(name)) }

func (t table) has(name string) bool {
	_, found := t.values[name]
	return found
}

func (t table) wrongType(name, want string) {
	t.doc.errs = append(t.doc.errs, t.at(name).errorf("is %s, must be %s", tomlpos.Kind(t.values[name]), want))
}

// table returns a table, empty if there is none.
func (t table) table(name string) table {
	values, ok := t.values[name].(map[string]any)
	if t.has(name) && !ok {
		t.wrongType(name, "a table")
	}
	return table{doc: t.doc, path: t.key(name), values: values}
}

// names returns the keys of the table, sorted.
func (t table) names() []string {
	return slices.Sorted(maps.Keys(t.values))
}

func (t table) string(name string) string {
	text, ok := t.values[name].(string)
	if t.has(name) && !ok {
		t.wrongType(name, "a string")
	}
	return text
}

func (t table) bool(name string) bool {
	b, ok := t.values[name].(bool)
	if t.has(name) && !ok {
		t.wrongType(name, "true or false")
	}
	return b
}

func (t table) int(name string) int64 {
	n, ok := t.values[name].(int64)
	if t.has(name) && !ok {
		t.wrongType(name, "a number")
	}
	return n
}

// strings returns a list of strings.
func (t table) strings(name string) []string {
	list, ok := tomlpos.Strings(t.values[name])
	if t.has(name) && !ok {
		t.wrongType(name, "a list of strings")
	}
	return list
}

// count returns "1 thing" or "n things".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// order returns the keys of a table in the order of the file.
func (d *document) order(t table) []string {
	names := t.names()
	slices.SortStableFunc(names, func(a, b string) int { return t.at(a).line - t.at(b).line })
	return names
}
