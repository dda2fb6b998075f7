package imageservice

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAlive(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cri.sock.lock")
	one, err := newAlive(path)
	must(t, err)
	other, err := newAlive(path)
	must(t, err)
	defer other.close()
	if !other.lives(one.name()) || !one.lives(other.name()) {
		t.Error("neither sees the other")
	}
	one.close()
	if other.lives(one.name()) {
		t.Error("what has ended lives")
	}
	for _, name := range []string{"", "-1", "KJ5XQ2ZZ", "99999999999999999999", "12345"} {
		if other.lives(name) {
			t.Errorf("%q lives, which nobody is called", name)
		}
	}
}

func TestAliveNeedsAFileOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	must(t, os.WriteFile(target, nil, 0o600))
	must(t, os.Symlink(target, link))
	for _, path := range []string{"@abstract.lock", link, dir, filepath.Join(dir, "missing", "lock")} {
		if a, err := newAlive(path); err == nil {
			a.close()
			t.Errorf("%s was taken", path)
		}
	}
}
