package hostdir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ailing is a Hosts whose disk fails below the root with an error while that is
// set, an hour after the last change.
type ailing struct {
	*Hosts
	stat, read, list atomic.Pointer[syscall.Errno]
	reloads          []string
}

func newAiling(root string) *ailing {
	a := &ailing{Hosts: &Hosts{Roots: Roots{root}}}
	fail := func(no *syscall.Errno, op, path string) error {
		if no == nil || !strings.HasPrefix(path, root+"/") {
			return nil
		}
		return &fs.PathError{Op: op, Path: path, Err: *no}
	}
	a.disk = disk{
		stat: func(path string) (fs.FileInfo, error) {
			if err := fail(a.stat.Load(), "stat", path); err != nil {
				return nil, err
			}
			return os.Stat(path)
		},
		readFile: func(path string) ([]byte, error) {
			if err := fail(a.read.Load(), "open", path); err != nil {
				return nil, err
			}
			return os.ReadFile(path)
		},
		readDir: func(path string) ([]fs.DirEntry, error) {
			if err := fail(a.list.Load(), "open", path); err != nil {
				return nil, err
			}
			return os.ReadDir(path)
		},
		now: func() time.Time { return time.Now().Add(time.Hour) },
	}
	a.Hooks.OnReload = func(r Reload) {
		text := r.Host
		if r.Err != nil {
			text += ": " + strings.ReplaceAll(r.Err.Error(), root, "ROOT")
		}
		a.reloads = append(a.reloads, text)
	}
	return a
}

// names are the identities that are used for a registry, or the error.
func (a *ailing) names(t *testing.T) string {
	t.Helper()
	host, err := a.Lookup("reg")
	if err != nil {
		return "error"
	}
	var names []string
	for _, e := range host.Endpoints {
		for _, id := range e.Identities {
			names = append(names, id.Certificate.Leaf.Subject.CommonName)
		}
	}
	return strings.Join(names, " ")
}

// expect looks the registry up.
func (a *ailing) expect(t *testing.T, when, want string) {
	t.Helper()
	if got := a.names(t); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// TestWhatCouldNotBeReadIsReadAgain: a process may be out of file descriptors
// for a moment, and no file looks different after it.
func TestWhatCouldNotBeReadIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(*ailing) *atomic.Pointer[syscall.Errno]{
		"the list": func(a *ailing) *atomic.Pointer[syscall.Errno] { return &a.list },
		"a file":   func(a *ailing) *atomic.Pointer[syscall.Errno] { return &a.read },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, alpha("reg")...)
			a := newAiling(root)
			no := syscall.EMFILE
			fails(a).Store(&no)
			a.expect(t, "at first", "error")
			fails(a).Store(nil)
			a.expect(t, "then", "alpha")

			write(t, root, "reg/alpha.cert", betaPair.CertPEM, "reg/alpha.key", betaPair.KeyPEM)
			fails(a).Store(&no)
			a.expect(t, "during a reload", "alpha")
			fails(a).Store(nil)
			a.expect(t, "after it", "beta")
		})
	}
}

// TestUnreadableIsNotReadAgain: nothing but a change makes a file readable that
// may not be read.
func TestUnreadableIsNotReadAgain(t *testing.T) {
	t.Parallel()
	a := newAiling(tree(t, alpha("reg")...))
	no := syscall.EACCES
	a.read.Store(&no)
	a.names(t)
	a.read.Store(nil)
	if got := a.names(t); got != "error" {
		t.Errorf("it was read again: %q", got)
	}
}

// TestUnsearchableRootChangesNothing: its directories are there still, and the
// registry must not be asked as one that has none.
func TestUnsearchableRootChangesNothing(t *testing.T) {
	t.Parallel()
	a := newAiling(tree(t, concat(alpha("reg"), []any{"reg/hosts.toml", "[host.'https://mirror']"})...))
	first, err := a.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	no := syscall.EACCES
	a.stat.Store(&no)
	for range 3 {
		if host, err := a.Lookup("reg"); host != first || err != nil {
			t.Errorf("got %v, %v", host, err)
		}
	}
	a.stat.Store(nil)
	if host, err := a.Lookup("reg"); host != first || err != nil {
		t.Errorf("got %v, %v once it can be searched again", host, err)
	}
	want := "reg: ROOT: cannot search the certs.d directory: permission denied"
	if len(a.reloads) == 0 || a.reloads[0] != want || len(a.reloads) > 2 {
		t.Errorf("reloads: %q, want %q once, and at most that it is over", a.reloads, want)
	}
}

// TestRemovedHostsFileIsNotKept: what is broken beside it does not keep a mirror
// in use that somebody has taken away.
func TestRemovedHostsFileIsNotKept(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(alpha("reg"), []any{"reg/hosts.toml", "[host.'https://mirror']"})...)
	a := newAiling(root)
	a.names(t)
	if err := os.Remove(filepath.Join(root, "reg", "hosts.toml")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "reg/ca.crt", "rubbish")
	if host, err := a.Lookup("reg"); err == nil {
		t.Errorf("the mirror is still in use: %v", host.Endpoints[0].Host)
	}
}

// dated is a file of a certain age.
type dated struct {
	fs.FileInfo
	modified time.Time
}

func (d dated) ModTime() time.Time { return d.modified }
func (d dated) Sys() any           { return nil }

func TestFreshStampsAreNotTrusted(t *testing.T) {
	t.Parallel()
	whole := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fine := whole.Add(123 * time.Millisecond)
	for _, tt := range []struct {
		about    string
		modified time.Time
		age      time.Duration
		want     bool
	}{
		{"just written", fine, 10 * time.Millisecond, true},
		{"written a moment ago", fine, 150 * time.Millisecond, false},
		{"from the future by a little", fine, -50 * time.Millisecond, true},
		{"from the future", fine, -time.Hour, false},
		{"whole seconds, one ago", whole, time.Second, true},
		{"whole seconds, even ones", whole, 2 * time.Second, true},
		{"whole seconds, three ago", whole, 3 * time.Second, false},
	} {
		d := disk{now: func() time.Time { return tt.modified.Add(tt.age) }}
		if got := d.stampOf("x", dated{modified: tt.modified}, nil).fresh; got != tt.want {
			t.Errorf("%s: fresh is %v", tt.about, got)
		}
	}
}
