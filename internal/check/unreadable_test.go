package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestWhatIsHiddenFromThisUser holds that files which this user may not read and
// root's containerd may are told as that: neither as in need of being made
// readable, nor as what a pull by the daemon would meet.
func TestWhatIsHiddenFromThisUser(t *testing.T) {
	t.Parallel()
	plugin := "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer']\n"
	for _, tt := range []struct {
		name string
		// hide is what loses its permissions, below the root.
		hide string
		// hosts is a hosts.toml.
		hosts   string
		all     bool
		where   string
		code    string
		message string
	}{
		{name: "a key", hide: "reg.test/alpha.key", code: "file-unreadable"},
		{name: "a CA", hide: "reg.test/ca.crt", code: "file-unreadable"},
		{name: "hosts.toml", hide: "reg.test/hosts.toml", hosts: "server = 'https://reg.test'\n", code: "file-unreadable"},
		{name: "what hosts.toml names", hide: "other/ca.crt", hosts: "ca = 'ROOT/other/ca.crt'\n", where: "reg.test/hosts.toml:1", code: "file-unreadable", message: "ca: "},
		{name: "a directory", hide: "reg.test", code: "directory-unreadable"},
		{name: "the root", hide: ".", code: "root-unreadable"},
		{name: "the root of all", hide: ".", all: true, code: "root-unreadable"},
		{name: "a key of _default", hide: "_default/alpha.key", all: true, code: "file-unreadable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			root, config := filepath.Join(dir, "certs.d"), filepath.Join(dir, "config.toml")
			for _, name := range []string{"reg.test", "other", "_default"} {
				write(t, filepath.Join(root, name), files{"ca": serverCA, "alpha": alpha})
			}
			if tt.hosts != "" {
				write(t, filepath.Join(root, "reg.test"), files{"hosts.toml": strings.ReplaceAll(tt.hosts, "ROOT", root)})
			}
			write(t, dir, files{"config.toml": plugin})
			hidden := filepath.Join(root, tt.hide)
			if err := os.Chmod(hidden, 0); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(hidden, 0o700) })
			asNobody(t, dir)
			c := &Checker{Roots: []string{root}, Config: config, euid: func() int { return 1000 }}
			where, command := hidden, "sudo certsd check --root "+root+" --config "+config
			if tt.where != "" {
				where = filepath.Join(root, tt.where)
			}
			var found []Finding
			if tt.all {
				report, err := c.All(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				found, command = report.Findings, command+" --all"
			} else {
				r, err := c.Registry(t.Context(), "reg.test/app")
				if err != nil {
					t.Fatal(err)
				}
				found, command = r.Findings, command+" reg.test/app"
				if r.Verdict != Unusable || r.Reason != hiddenWords {
					t.Errorf("the verdict is %s: %s", r.Verdict, r.Reason)
				}
				for _, way := range r.Ways {
					if way.Way != WayCertsd && (way.Verdict != Unasked || way.Reason != hiddenWords) {
						t.Errorf("the verdict for %s is %s: %s", way.Way, way.Verdict, way.Reason)
					}
				}
			}
			if len(found) == 0 {
				t.Fatal("nothing is found")
			}
			f := found[0]
			if string(f.Code) != tt.code || f.Where != where || f.Next != "check as root: "+command ||
				f.Message != tt.message+"cannot be read by this user (uid 1000), but root's containerd can read it" {
				t.Errorf("the first finding is %+v", f)
			}
			for _, f := range found {
				if f.Code == NoDirectory || strings.Contains(f.Next, "make it readable") {
					t.Errorf("it finds %+v", f)
				}
			}
		})
	}
}

// TestRootIsNotSentToRoot holds that who is root already, and may still not read
// a file, gets other advice.
func TestRootIsNotSentToRoot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "reg.test"), files{"ca": serverCA, "alpha": alpha})
	if err := os.Chmod(filepath.Join(root, "reg.test", "alpha.key"), 0); err != nil {
		t.Fatal(err)
	}
	asNobody(t, root)
	r, err := (&Checker{Roots: []string{root}, Offline: true, euid: func() int { return 0 }}).Registry(t.Context(), "reg.test")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) == 0 || !strings.Contains(r.Findings[0].Next, "make it readable for the user that pulls") {
		t.Errorf("it finds %+v", r.Findings)
	}
}

// asNobody makes the goroutine of a test access files as somebody else than
// root, who owns those below dir.
func asNobody(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	// The directory above is that of the test, which is for its owner alone.
	if err := filepath.WalkDir(filepath.Dir(dir), func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	}); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
	if err := syscall.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setfsuid(0) })
}
