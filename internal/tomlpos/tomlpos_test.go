package tomlpos

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

func TestLinesAndOrder(t *testing.T) {
	t.Parallel()
	d, err := Parse([]byte("b = 1\na = { y = 1, x = 2 }\n\n[t.\"u v\"]\nz.k = 1\n[[list]]\nn = 1\n[t]\nlast = 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for path, line := range d.Lines() {
		got[Dotted(path)] = line
	}
	if diff := cmp.Diff(map[string]int{
		"b": 1, "a": 2, "a.y": 2, "a.x": 2, "t": 4, `t."u v"`: 4, `t."u v".z`: 5, `t."u v".z.k`: 5, "list": 6, "list.n": 7, "t.last": 9,
	}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "a", "t", "list"}, d.Names(nil, d.Root)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if d.FirstTable != 4 || d.Line([]string{"t", "none"}) != 0 {
		t.Errorf("first table in line %d, an unknown key in line %d", d.FirstTable, d.Line([]string{"t", "none"}))
	}
}

// TestNoPasswords: keys may be addresses, and errors repeat keys.
func TestNoPasswords(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"https://user:p4ss@reg": `host."https://…@reg"`, "user:p4ss@reg": `host."…@reg"`, "reg:5000": `host."reg:5000"`, "reg": "host.reg",
		"https://reg/@x": `host."https://reg/@x"`, "a\"\n": `host."a\"\u000A"`,
	} {
		if got := Dotted([]string{"host", key}); got != want {
			t.Errorf("%q is shown as %s, want %s", key, got, want)
		}
	}
	_, err := Parse([]byte("[host.\"https://user:p4ss@reg\"]\nx = 1\n[host.\"https://user:p4ss@reg\"]\n"))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.Line != 3 || strings.Contains(err.Error(), "p4ss") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a.b = 1\n[t]\nx = {y = '@'}")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse([]byte(text))
		if err != nil {
			return
		}
		walk(t, d, nil, d.Root)
		var again map[string]any
		if err := toml.Unmarshal([]byte(Quote("k")+" = "+Quote(text)), &again); err != nil || again["k"] != strings.ToValidUTF8(text, "\ufffd") && !strings.ContainsRune(text, '\ufffd') {
			t.Errorf("%s is %q: %v", Quote(text), again["k"], err)
		}
	})
}

// walk looks for the line of each key.
func walk(t *testing.T, d *Document, path []string, values map[string]any) {
	t.Helper()
	for _, name := range d.Names(path, values) {
		if key := append(slices.Clip(path), name); !strings.Contains(name, "\x00") {
			if d.Line(key) == 0 {
				t.Errorf("%q has no line", key)
			}
			if sub, ok := values[name].(map[string]any); ok {
				walk(t, d, key, sub)
			}
		}
	}
}

func TestValueOf(t *testing.T) {
	t.Parallel()
	const text = "version = 3\ndisabled_plugins = ['a']\n[t]\nlast = 1\n"
	for key, want := range map[string]string{"version": " = 3\n", "disabled_plugins": " = ['a']\n", "last": "", "none": ""} {
		at := ValueOf([]byte(text), key)
		if want == "" && at != -1 || want != "" && (at < 0 || !strings.HasPrefix(text[at:], want)) {
			t.Errorf("%s: %d", key, at)
		}
	}
	if at := ValueOf([]byte("a = 1\n"), "b"); at != -1 {
		t.Errorf("a key that is not there begins at %d", at)
	}
}

func TestWhereAnErrorIs(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("a = 1\nb = \n"))
	var syntax *SyntaxError
	if !errors.As(err, &syntax) || syntax.At("/f") != "/f:2" {
		t.Errorf("%v", err)
	}
	if at := Syntax(errors.New("toml: odd")).At("/f"); at != "/f" {
		t.Error(at)
	}
}

func TestKindsOfValues(t *testing.T) {
	t.Parallel()
	d, err := Parse([]byte("s = ''\nb = true\ni = 1\nf = 1.5\nt = {}\nl = ['a']\nm = ['a', 1]\nd = 2026-01-01\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"s": "a string", "b": "a boolean", "i": "a number", "f": "a number", "t": "a table",
		"l": "a list of strings", "m": "a list with a number", "d": "a date or time", "none": "null",
	} {
		if got := Kind(d.Root[key]); got != want {
			t.Errorf("%s is %s, not %s", key, got, want)
		}
		if list, is := Strings(d.Root[key]); is != (key == "l") || is && !slices.Equal(list, []string{"a"}) {
			t.Errorf("%s is the list %q: %t", key, list, is)
		}
	}
}
