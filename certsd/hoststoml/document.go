package hoststoml

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// document is a parsed TOML file that knows where its keys are. Reading values
// through it collects what is wrong with them.
type document struct {
	root     map[string]any
	lines    map[string]int      // by joined key
	order    map[string][]string // by joined key of a table: its keys as they come
	problems []*Problem
}

// parseDocument parses TOML. The order of keys and their lines are not in what
// go-toml decodes: they come from a second pass with its parser.
func parseDocument(file string, data []byte) (*document, *Problem) {
	d := &document{lines: map[string]int{}, order: map[string][]string{}}
	data, err := plainfile.Text(file, data)
	if err != nil {
		return nil, &Problem{Kind: Syntax, Err: err}
	}
	if err := toml.Unmarshal(data, &d.root); err != nil {
		p := &Problem{Kind: Syntax, Err: fmt.Errorf("invalid TOML: %w", trimTOML(err))}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			p.Line, _ = decode.Position()
		}
		return nil, p
	}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.note(&p, nil, e.Key())
		case unstable.KeyValue:
			d.noteValue(&p, table, e)
		}
	}
	return d, nil
}

// trimTOML leaves out the prefix "toml: ", because the message says so already,
// and what may be a password in a key that it names.
func trimTOML(err error) error {
	return errors.New(userInText.ReplaceAllString(strings.TrimPrefix(err.Error(), "toml: "), "${1}…@"))
}

// note records where the parts of a key are and returns its full path.
func (d *document) note(p *unstable.Parser, table []string, key unstable.Iterator) []string {
	path := slices.Clone(table)
	for key.Next() {
		name := string(key.Node().Data)
		parent := join(path)
		if !slices.Contains(d.order[parent], name) {
			d.order[parent] = append(d.order[parent], name)
		}
		path = append(path, name)
		if _, known := d.lines[join(path)]; !known {
			d.lines[join(path)] = p.Shape(key.Node().Raw).Start.Line
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

// problem reports something wrong with the value of a key.
func (d *document) problem(kind Kind, path []string, err error) {
	d.problems = append(d.problems, &Problem{Kind: kind, Line: d.lines[join(path)], Key: dotted(path), Err: err})
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// withUser is an address with a user, and perhaps a password.
var (
	withUser   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)?[^/?#]*@`)
	userInText = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)?[^\s"'/?#]+@`)
)

// dotted is a key as it is written in TOML, but for what may be a password.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		part = withUser.ReplaceAllString(part, "${1}…@")
		if parts[i] = part; !bareKey.MatchString(part) {
			parts[i] = strconv.Quote(part)
		}
	}
	return strings.Join(parts, ".")
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
	t.fail(name, "is %s, must be %s", kindOf(t.values[name]), want)
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
	list, ok := Strings(value)
	if !ok {
		t.wrongType(name, "a list of strings")
	}
	return list
}

// stringOrList reads one string or a list of them. A list that is there is not
// nil.
func (t table) stringOrList(name string) []string {
	value, found := t.values[name]
	if !found {
		return nil
	}
	if text, ok := value.(string); ok {
		return []string{text}
	}
	list, ok := Strings(value)
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

// table reads a table.
func (t table) table(name string) (table, bool) {
	value, found := t.values[name]
	values, ok := value.(map[string]any)
	if found && !ok {
		t.wrongType(name, "a table")
	}
	return table{doc: t.doc, path: t.key(name), values: values}, ok
}

// names are the keys of the table in the order of the file.
func (t table) names() []string {
	names := slices.Clone(t.doc.order[join(t.path)])
	// The second pass sees what the first one saw; should it ever not, no key
	// is lost.
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !t.has(name) })
}

// only reports each key that is not known.
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

// Strings is a value of TOML as a list of strings, and reports whether it is one.
func Strings(value any) ([]string, bool) {
	items, ok := value.([]any)
	if !ok {
		return nil, false
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

// kindOf names the type of a TOML value for a message.
func kindOf(value any) string {
	switch value := value.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "a number"
	case float64:
		return "a number"
	case map[string]any:
		return "a table"
	case []any:
		for _, item := range value {
			if _, ok := item.(string); !ok {
				return "a list with " + kindOf(item)
			}
		}
		return "a list of strings"
	default:
		return "a date or time"
	}
}
