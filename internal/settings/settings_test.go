package settings

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSizesAndDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0": 0, "0GiB": 0, "1": 1, "17B": 17, "1KiB": 1024, "512MiB": 512 << 20, "20 GiB": 20 << 30, "1TiB": 1 << 40} {
		var s, again Size
		if err := errors.Join(s.UnmarshalText([]byte(text)), again.UnmarshalText([]byte(s.String()))); err != nil {
			t.Fatal(err)
		}
		if s != want || again != want {
			t.Errorf("%s is %d, then %d", text, s, again)
		}
	}
	var d Duration
	if err := d.UnmarshalText([]byte("1h30m")); err != nil {
		t.Fatal(err)
	}
	if time.Duration(d) != 90*time.Minute || d.String() != "1h30m0s" {
		t.Errorf("got %s", d)
	}
}

// file is what a daemon may be set to.
type file struct {
	Root     string   `toml:"root" usage:"search 'LIST'"`
	Listen   []string `toml:"listen"`
	Size     Size     `toml:"size"`
	LogLevel string   `toml:"log_level"`
}

// TestWhatIsWrongIsSaidWithItsLine: a person corrects the file by it.
func TestWhatIsWrongIsSaidWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"root = '/a'\nlisten = ['b']\nsize = '1KiB'": "",
		"root = '/a'\nlog-level = 'info'":            `f:2: log-level: unknown key; did you mean "log_level"?`,
		"elsewhere = 1":                              "f:1: elsewhere: unknown key",
		"\nlisten = 'b'":                             `f:2: listen: must be a list of strings, such as ["a", "b"], and is of type string`,
		"size = 'x'":                                 `f:1: size: "x" is not a size such as "512MiB" or "20GiB"`,
		"root = ":                                    "f:1: ",
	} {
		var c file
		err := Parse("f", []byte(text), &c)
		if want == "" {
			if err != nil || c.Root != "/a" || c.Size != 1024 || !slices.Equal(c.Listen, []string{"b"}) {
				t.Errorf("%+v, %v", c, err)
			}
		} else if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, not %s", text, err, want)
		}
	}
	if of := Of(new(file)); len(of) != 4 || of[0].Key != "root" || of[0].Usage != "search `LIST`" {
		t.Errorf("%+v", of)
	}
	if err := Load(filepath.Join(t.TempDir(), "none"), new(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if CheckLogLevel("warn") != nil || CheckLogLevel("loud") == nil {
		t.Error("log levels")
	}
}
