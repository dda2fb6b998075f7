// Package tomlpos reads TOML and records the line of each key, which go-toml does not
// report for decoded values. Its texts about a file are safe to print: user and
// password are removed from keys that are addresses.
package tomlpos

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Document is a parsed file. A key is given by its parts, from the root.
type Document struct {
	// Root are the values.
	Root map[string]any
	// FirstTable is the line of the first table header, zero if there is none.
	FirstTable int

	lines map[string]int      // by joined key
	order map[string][]string // by joined key of a table: its keys in file order
}

// SyntaxError says why a file is not TOML.
type SyntaxError struct {
	// Line is zero if unknown.
	Line int
	Text string
}

func (e *SyntaxError) Error() string { return "invalid TOML: " + e.Text }

// At returns file with the line appended, if known.
func (e *SyntaxError) At(file string) string {
	if e.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, e.Line)
}

// Parse parses a file. The error is a *[SyntaxError].
func Parse(data []byte) (*Document, error) {
	d := &Document{lines: map[string]int{}, order: map[string][]string{}}
	if err := toml.Unmarshal(data, &d.Root); err != nil {
		return nil, Syntax(err)
	}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.note(&p, nil, e.Key())
			if key := e.Key(); d.FirstTable == 0 && key.Next() {
				d.FirstTable = p.Shape(key.Node().Raw).Start.Line
			}
		case unstable.KeyValue:
			d.noteValue(&p, table, e)
		}
	}
	return d, nil
}

// note records the lines of a key's parts and returns its full path.
func (d *Document) note(p *unstable.Parser, table []string, key unstable.Iterator) []string {
	path := slices.Clone(table)
	for key.Next() {
		name := string(key.Node().Data)
		parent := join(path)
		path = append(path, name)
		if _, known := d.lines[join(path)]; !known {
			d.lines[join(path)] = p.Shape(key.Node().Raw).Start.Line
			d.order[parent] = append(d.order[parent], name)
		}
	}
	return path
}

func (d *Document) noteValue(p *unstable.Parser, table []string, kv *unstable.Node) {
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

// Line returns the line of a key, zero if it is absent.
func (d *Document) Line(path []string) int { return d.lines[join(path)] }

// Lines returns all keys, including those of tables, with their lines.
func (d *Document) Lines() iter.Seq2[[]string, int] {
	return func(yield func([]string, int) bool) {
		for key, line := range d.lines {
			if !yield(strings.Split(key, "\x00"), line) {
				return
			}
		}
	}
}

// Names returns the keys of a table with these values, in file order.
func (d *Document) Names(path []string, values map[string]any) []string {
	names := slices.Clone(d.order[join(path)])
	// Both passes should see the same keys; if they ever differ, no key is lost.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { _, found := values[name]; return !found })
}

// Syntax returns an error of go-toml without its prefix and without possible passwords.
func Syntax(err error) *SyntaxError {
	e := &SyntaxError{Text: safetext.Addresses(strings.TrimPrefix(err.Error(), "toml: "))}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		var column int
		e.Line, column = decode.Position()
		e.Text = spelled(e.Text, lineOf(decode), column)
	}
	return e
}

// ValueOf returns the offset just after a key that comes before the first table, where
// its value follows, -1 if there is no such key.
func ValueOf(data []byte, key string) int {
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue {
			return -1
		}
		k := e.Key()
		if k.Next(); string(k.Node().Data) == key {
			return int(k.Node().Raw.Offset + k.Node().Raw.Length)
		}
	}
	return -1
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Dotted returns a key as written in TOML, without possible passwords.
func Dotted(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		part = safetext.Address(part)
		if parts[i] = part; !bareKey.MatchString(part) {
			parts[i] = Quote(part)
		}
	}
	return strings.Join(parts, ".")
}

// Quote returns text as a basic string of TOML.
func Quote(text string) string {
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

// Strings returns a value as a list of strings, and reports whether it is one.
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

// Kind returns the name of the type of a TOML or JSON value for a message.
func Kind(value any) string {
	switch value := value.(type) {
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
		for _, item := range value {
			if _, ok := item.(string); !ok {
				return "a list with " + Kind(item)
			}
		}
		return "a list of strings"
	default:
		return "a date or time"
	}
}
