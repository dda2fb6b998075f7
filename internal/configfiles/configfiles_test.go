package configfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/configfiles"
)

// read is how a file of one import a line is read.
func read(order *[]string) func(string) ([]string, error) {
	return func(path string) ([]string, error) {
		*order = append(*order, filepath.Base(path))
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		paths, _, err := configfiles.Resolve(path, strings.Fields(string(data)))
		return paths, err
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a": "b d/*.toml", "b": "./c a", "c": "", "d/1.toml": "../c", "d/2.toml": dir + "/e", "e": "", "missing": "none", "bad": "x[*",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var order []string
	if err := configfiles.Walk([]string{filepath.Join(dir, "a")}, 6, read(&order)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "1.toml", "2.toml", "c", "e"}, order); diff != "" {
		t.Error(diff)
	}
	var limit *configfiles.LimitError
	if err := configfiles.Walk([]string{filepath.Join(dir, "a")}, 5, read(new([]string))); !errors.As(err, &limit) || limit.Path != filepath.Join(dir, "e") {
		t.Errorf("%v", err)
	}
	if err := configfiles.Walk([]string{filepath.Join(dir, "missing")}, 9, read(new([]string))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := configfiles.Walk([]string{filepath.Join(dir, "bad")}, 9, read(new([]string))); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("%v", err)
	}
	_, patterns, err := configfiles.Resolve("/etc/containerd/config.toml", []string{"conf.d/*.toml"})
	if err != nil || len(patterns) != 1 || patterns[0] != "/etc/containerd/conf.d/*.toml" {
		t.Errorf("%v, %v", patterns, err)
	}
}
