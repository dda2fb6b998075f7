package safepath

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

const nobody = 65534

// below is a directory of root's with what a test puts there.
func below(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	return t.TempDir()
}

func TestOwn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// put makes the tree and returns the path to look at, and the path that
		// is in the wrong hands, empty if none is.
		put func(t *testing.T, dir string) (path, wrong string)
	}{
		{"own", func(t *testing.T, dir string) (string, string) { return mkdir(t, dir, "a/b"), "" }},
		{"not there", func(t *testing.T, dir string) (string, string) { return dir + "/a/b/c", "" }},
		{"of another", func(t *testing.T, dir string) (string, string) { return give(t, mkdir(t, dir, "a/b")), dir + "/a/b" }},
		{"below another's", func(t *testing.T, dir string) (string, string) {
			path := mkdir(t, dir, "a/b")
			return path, give(t, dir+"/a")
		}},
		{"not there, below another's", func(t *testing.T, dir string) (string, string) {
			return dir + "/a/b", give(t, mkdir(t, dir, "a"))
		}},
		{"by way of another's", func(t *testing.T, dir string) (string, string) {
			mkdir(t, dir, "b")
			return dir + "/a/../b", give(t, mkdir(t, dir, "a"))
		}},
		{"own link", func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink(mkdir(t, dir, "a"), dir+"/link"))
			return dir + "/link/b", ""
		}},
		{"own link to another's", func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink("a", dir+"/link"))
			return dir + "/link/b", give(t, mkdir(t, dir, "a"))
		}},
		{"another's link", func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink(mkdir(t, dir, "a"), dir+"/link"))
			return dir + "/link", give(t, dir+"/link")
		}},
		{"another's link on the way", func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink(mkdir(t, dir, "a"), dir+"/link"))
			return dir + "/link/b", give(t, dir+"/link")
		}},
		{"for everybody", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chmod(mkdir(t, dir, "a"), 0o777))
			return dir + "/a/b", dir + "/a"
		}},
		{"as /tmp", func(t *testing.T, dir string) (string, string) {
			must(t, os.Chmod(mkdir(t, dir, "a"), 0o777|os.ModeSticky))
			return mkdir(t, dir, "a/b"), ""
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path, wrong := tt.put(t, below(t))
			expect(t, Own(path), wrong)
			expect(t, MkdirAll(path, 0o700), wrong)
			if _, err := os.Stat(path); wrong == "" && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	dir := below(t)
	path := mkdir(t, dir, "a/b/c")
	expect(t, Tree(dir), "")
	expect(t, Tree(dir+"/missing"), "")
	must(t, os.WriteFile(path+"/file", nil, 0o600))
	give(t, path+"/file")
	expect(t, Tree(dir), path+"/file")
	must(t, os.Remove(path+"/file"))
	expect(t, Tree(dir), "")
	elsewhere := below(t)
	must(t, os.Symlink(elsewhere, path+"/link"))
	expect(t, Tree(dir), "")
	give(t, mkdir(t, elsewhere, "d"))
	expect(t, Tree(dir), elsewhere+"/d")
	must(t, os.Remove(elsewhere+"/d"))
	must(t, os.Symlink("..", path+"/round"))
	if err := Tree(dir); err == nil {
		t.Error("a tree without end has one")
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	dir := give(t, mkdir(t, below(t), "a"))
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	must(t, d.Create("file", []byte("one")))
	if err := d.Create("file", []byte("two")); !errors.Is(err, os.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	must(t, d.Replace("file", "file", []byte("three")))
	text, info, err := d.Read("file", 5)
	must(t, err)
	if owner, ok := info.Sys().(*syscall.Stat_t); string(text) != "three" || !ok || owner.Uid != nobody {
		t.Errorf("%q of %+v", text, owner)
	}
	if _, _, err := d.Read("file", 4); err == nil {
		t.Error("more was read than there may be")
	}
	must(t, os.WriteFile(dir+"/roots", nil, 0o600))
	must(t, os.Symlink("file", dir+"/link"))
	must(t, syscall.Mkfifo(dir+"/pipe", 0o600))
	must(t, os.Mkdir(dir+"/dir", 0o700))
	for _, name := range []string{"roots", "link", "pipe", "dir", "missing"} {
		if _, _, err := d.Read(name, 5); err == nil || !strings.Contains(err.Error(), dir+"/"+name) {
			t.Errorf("%s was read: %v", name, err)
		}
	}
	// What was written is not there any more if somebody puts another in its place.
	must(t, d.Replace("other", "file", []byte("mine")))
	mine, err := d.Stat("other")
	must(t, err)
	must(t, d.arrived("other", mine))
	must(t, os.Rename(dir+"/file", dir+"/other"))
	if err := d.arrived("other", mine); err == nil || !strings.Contains(err.Error(), "was replaced") {
		t.Errorf("exchanged: %v", err)
	}
	must(t, os.Rename(dir+"/other", dir+"/file"))
	// A name that has been exchanged leads the descriptor nowhere.
	must(t, os.Rename(dir, dir+".away"))
	other := below(t)
	must(t, os.Symlink(other, dir))
	must(t, d.Replace("file", "file", []byte("four")))
	if entries, err := os.ReadDir(other); len(entries) > 0 || err != nil {
		t.Errorf("written elsewhere: %v %v", entries, err)
	}
	entries, err := os.ReadDir(dir + ".away")
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func expect(t *testing.T, err error, wrong string) {
	t.Helper()
	if wrong == "" {
		must(t, err)
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Path != wrong {
		t.Errorf("got %v, want a word about %s", err, wrong)
	}
}

func mkdir(t *testing.T, dir, path string) string {
	t.Helper()
	path = filepath.Join(dir, path)
	must(t, os.MkdirAll(path, 0o700))
	return path
}

func give(t *testing.T, path string) string {
	t.Helper()
	must(t, os.Lchown(path, nobody, nobody))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMountedSecret is what the kubelet makes of a Secret for a pod that is not
// root and has a group of its own: root's file, which that group may read. It is
// looked at by a process that is such a user.
func TestMountedSecret(t *testing.T) {
	t.Parallel()
	if os.Getenv("CERTSD_MOUNTED") != "" {
		d, err := Open(".")
		if err != nil {
			t.Fatal(err)
		}
		for name, private := range map[string]bool{"secret": true, "everybody": false, "foreign": false} {
			_, info, err := d.Read(name, 100)
			if err != nil || Private(info) != private {
				t.Errorf("%s: %v, want %v; %v", name, !private, private, err)
			}
		}
		return
	}
	if os.Getuid() != 0 {
		citest.Missing(t, "files of root need root")
	}
	const user, group = 65532, 65533
	// Not below t.TempDir, whose parents are for root alone.
	dir, err := os.MkdirTemp("", "mounted") //nolint:usetesting // as said
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, mode := range map[string]fs.FileMode{"secret": 0o440, "everybody": 0o444, "foreign": 0o444} {
		file := filepath.Join(dir, name)
		gid := group
		if name == "foreign" {
			gid = 0
		}
		if err := errors.Join(os.WriteFile(file, []byte("a secret"), 0o600), os.Chown(file, 0, gid), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(dir, user, user), os.Chmod(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	// The test itself has to be where that user can start it.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^TestMountedSecret$")
	cmd.ExtraFiles = []*os.File{program}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CERTSD_MOUNTED=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{group}}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
