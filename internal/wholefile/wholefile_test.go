package wholefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, step := range []struct {
		data string
		o    Options
		want string
		mode fs.FileMode
		err  error
	}{
		{"one", Options{}, "one", 0o600, nil},
		{"two", Options{Mode: 0o666}, "two", 0o666, nil}, // whatever the umask
		{"three", Options{New: true}, "two", 0o666, fs.ErrExist},
		{"four", Options{Owner: &Owner{os.Geteuid(), os.Getegid()}}, "four", 0o600, nil},
	} {
		if err := WritePath(path, []byte(step.data), step.o); !errors.Is(err, step.err) {
			t.Fatalf("%s: %v", step.data, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != step.want {
			t.Errorf("%s: %q, %v", step.data, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != step.mode {
			t.Errorf("%s: mode %v, %v", step.data, info.Mode(), err)
		}
		if list := names(t, dir); len(list) != 1 {
			t.Errorf("%s leaves %q", step.data, list)
		}
	}
}

// TestFailedWrites leave nothing, and what was there.
func TestFailedWrites(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "there", "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"there", "none/f", "link/f", "../f"} {
		if err := Write(root, name, []byte("x"), Options{}); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	if list := append(names(t, dir), names(t, outside)...); len(list) != 2 {
		t.Errorf("left: %q", list)
	}
	if _, err := Create(root, "there", nil, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a new file in the place of another: %v", err)
	}
}
