package migrate

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// document is a parsed TOML file that knows where its keys are. Reading values
// through it collects what is wrong with them.
type document struct {
	file   string
	root   map[string]any
	places map[string]place // by joined key
	// self is where the document is in a larger one.
	self place
	// firstTable is the line of the first table header, zero if there is none.
	firstTable int
	errs       []error
}

// parseTOML parses a file. The lines of keys are not in what go-toml decodes:
// they come from a second pass with its parser.
func parseTOML(file string, data []byte) (*document, error) {
	d := &document{file: file, places: map[string]place{}}
	if err := toml.Unmarshal(data, &d.root); err != nil {
		at := place{file: file}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			at.line, _ = decode.Position()
		}
		return nil, at.errorf("invalid TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
	}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.note(&p, nil, e.Key())
			if key := e.Key(); d.firstTable == 0 && key.Next() {
				d.firstTable = p.Shape(key.Node().Raw).Start.Line
			}
		case unstable.KeyValue:
			d.noteValue(&p, table, e)
		}
	}
	return d, nil
}

// note records where the parts of a key are and returns its full path.
func (d *document) note(p *unstable.Parser, table []string, key unstable.Iterator) []string {
	path := slices.Clone(table)
	for key.Next() {
		path = append(path, string(key.Node().Data))
		if _, known := d.places[join(path)]; !known {
			d.places[join(path)] = place{d.file, p.Shape(key.Node().Raw).Start.Line, dotted(path)}
		}
	}
	return path
}

func (d *document) noteValue(p *unstable.Parser, table []string, kv *unstable.Node) {
	path := d.note(p, table, kv.Key())
	if value := kv.Value(); value.Kind == unstable.InlineTable {
		for it := value.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				d.noteValue(p, path, it.Node())
			}
		}
	}
}

func join(path []string) string { return strings.Join(path, "\x00") }

// at is where a key is.
func (d *document) at(path []string) place {
	if at, known := d.places[join(path)]; known {
		return at
	}
	return place{file: d.file, key: dotted(path)}
}

// has tells whether a key of this name is anywhere in the file.
func (d *document) has(name string) bool {
	for key := range d.places {
		if slices.Contains(strings.Split(key, "\x00"), name) {
			return true
		}
	}
	return false
}

// sub is the table at a path as a document of its own, nil if there is none.
// The places stay those in the file.
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

// over puts a document on top of an earlier one, which may be nil: tables are
// merged, other values replaced. containerd merges files so.
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

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// dotted is a key as it is written in TOML. Where a part is a URL with a user
// and a password, these are left out: the text is for messages.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		if at := strings.LastIndexByte(part, '@'); at >= 0 {
			part = "…" + part[at:]
		}
		if parts[i] = part; !bareKey.MatchString(part) {
			parts[i] = quoted(part)
		}
	}
	return strings.Join(parts, ".")
}

// quoted is a TOML basic string.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
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
	t.doc.errs = append(t.doc.errs, t.at(name).errorf("is %s, must be %s", kindOf(t.values[name]), want))
}

// table reads a table, an empty one if there is none.
func (t table) table(name string) table {
	values, ok := t.values[name].(map[string]any)
	if t.has(name) && !ok {
		t.wrongType(name, "a table")
	}
	return table{doc: t.doc, path: t.key(name), values: values}
}

// names are the keys of the table, sorted.
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

// strings reads a list of strings.
func (t table) strings(name string) []string {
	list, ok := hoststoml.Strings(t.values[name])
	if t.has(name) && !ok {
		t.wrongType(name, "a list of strings")
	}
	return list
}

// kindOf names the type of a TOML or JSON value for a message.
func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	default:
		return "a date or time"
	}
}

// count is "1 thing" or "n things".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// order are the keys of a table as they come in the file.
func (d *document) order(t table) []string {
	names := t.names()
	slices.SortStableFunc(names, func(a, b string) int { return t.at(a).line - t.at(b).line })
	return names
}
