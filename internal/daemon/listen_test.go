package daemon

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestSocketIsForItsOwner, from its first moment, and takes the place of a dead
// one.
func TestSocketIsForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for range 2 {
		l, err := ListenUnix(t.Context(), path)
		must(t, err)
		info, err := os.Lstat(path)
		must(t, err)
		if info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("mode %s", info.Mode())
		}
		if _, err := ListenUnix(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another process listens") {
			t.Errorf("beside one that lives: %v", err)
		}
		// As if the process had been killed.
		l.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:errcheck,forcetypeassert // it is one
		must(t, l.Close())
	}
}

// TestSocketInOtherHands is not listened at: somebody else decides who is there.
func TestSocketInOtherHands(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("run as root to see what it does with the files of others")
	}
	open := filepath.Join(t.TempDir(), "open")
	must(t, os.Mkdir(open, 0o700))
	must(t, os.Chmod(open, 0o777))
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("kept"), 0o600))
	paths := map[string]bool{filepath.Join(open, "socket"): true, file: false, "@abstract": false}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(t.TempDir(), "foreign")
		must(t, os.Mkdir(foreign, 0o755))
		must(t, os.Chown(foreign, 1234, 1234))
		link := filepath.Join(t.TempDir(), "link")
		must(t, os.Symlink(foreign, link))
		dead := filepath.Join(t.TempDir(), "dead")
		l, err := ListenUnix(t.Context(), dead)
		must(t, err)
		l.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:errcheck,forcetypeassert // it is one
		must(t, l.Close())
		must(t, os.Lchown(dead, 1234, 1234))
		paths[filepath.Join(foreign, "socket")], paths[filepath.Join(link, "socket")], paths[dead] = true, true, true
	}
	for path, owned := range paths {
		l, err := ListenUnix(t.Context(), path)
		if err == nil {
			t.Errorf("%s: listens", path)
			must(t, l.Close())
			continue
		}
		if foreign := new(safepath.Error); owned && !errors.As(err, &foreign) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "kept" {
		t.Errorf("the file has %q, %v", kept, err)
	}
}
