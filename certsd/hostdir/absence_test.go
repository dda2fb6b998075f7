package hostdir

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWhatWasAbsentIsFoundWhenItComes looks a registry up that has no directory
// in old roots, changes something, and looks again.
func TestWhatWasAbsentIsFoundWhenItComes(t *testing.T) {
	t.Parallel()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		about string
		// before and change are made in the directory that holds the roots, a and
		// the link b. looks is how many stamps the first lookup leaves.
		before, change func(dir string)
		looks          int
		// dir is the directory that is found then, below that of the roots.
		dir string
	}{
		{
			about: "nothing", looks: 2,
			change: func(string) {},
		},
		{
			about: "the first spelling", looks: 2, dir: "a/reg",
			change: func(dir string) { write(t, dir, alpha("a/reg")...) },
		},
		{
			about: "the last spelling", looks: 2, dir: "a/reg:443",
			change: func(dir string) { write(t, dir, alpha("a/reg:443")...) },
		},
		{
			about: "the default directory", looks: 2, dir: "a/_default",
			change: func(dir string) { write(t, dir, alpha("a/_default")...) },
		},
		{
			about: "a link to a directory", looks: 2, dir: "a/reg",
			before: func(dir string) { write(t, dir, alpha("else")...) },
			change: func(dir string) { do(os.Symlink("../else", filepath.Join(dir, "a/reg"))) },
		},
		{
			about: "the second root", looks: 2, dir: "b/reg",
			change: func(dir string) { write(t, dir, alpha("real/reg")...) },
		},
		{
			about: "another second root", looks: 2, dir: "b/reg",
			before: func(dir string) { write(t, dir, append(alpha("new/reg"), "real/", "")...) },
			change: func(dir string) {
				do(os.Symlink("new", filepath.Join(dir, "next")))
				do(os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "b")))
			},
		},
		{
			// The link is looked at for itself: it says nothing of what comes.
			about: "the target of a link", looks: 6, dir: "a/reg_443_",
			before: func(dir string) { do(os.Symlink("../else", filepath.Join(dir, "a/reg_443_"))) },
			change: func(dir string) { write(t, dir, alpha("else")...) },
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, "a/", "")
			do(os.Symlink("real", filepath.Join(dir, "b")))
			if tt.before != nil {
				tt.before(dir)
			}
			age(t, filepath.Join(dir, "a"), filepath.Join(dir, "real"))
			hosts := &Hosts{Roots: Roots{filepath.Join(dir, "a"), filepath.Join(dir, "b")}}
			hosts.disk.now = func() time.Time { return time.Now().Add(time.Hour) }
			host, err := hosts.Lookup("reg")
			if err != nil || host.Dir != "" {
				t.Fatalf("found at first: %v, %v", host, err)
			}
			c, err := hosts.entry("reg")
			if err != nil || len(c.found.stamps) != tt.looks {
				t.Errorf("%d paths are to be looked at again, want %d: %v, %v", len(c.found.stamps), tt.looks, c.found.stamps, err)
			}
			tt.change(dir)
			want := ""
			if tt.dir != "" {
				want = filepath.Join(dir, tt.dir)
			}
			if host, err = hosts.Lookup("reg"); err != nil || host.Dir != want {
				t.Errorf("found in %q, %v, want %q", host.Dir, err, want)
			}
		})
	}
}

// age makes directories an hour old, where they exist: what happens next is seen
// on file systems of coarse times, too.
func age(t *testing.T, dirs ...string) {
	t.Helper()
	old := time.Now().Add(-time.Hour)
	for _, dir := range dirs {
		if err := os.Chtimes(dir, old, old); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestFreshRootIsNotTrusted: what comes into a directory that has just changed
// may leave no trace.
func TestFreshRootIsNotTrusted(t *testing.T) {
	t.Parallel()
	root := tree(t)
	hosts := &Hosts{Roots: Roots{root}}
	info, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	hosts.disk.now = func() time.Time { return latest(info) }
	if _, err := hosts.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	c, err := hosts.entry("reg")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.found.stamps {
		if s.path == root && !s.fresh {
			t.Errorf("the root is trusted: %v", c.found.stamps)
		}
	}
}
