package migrate_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// node is a machine where every kind of change is to be made.
const node = `
-- roots/docker/new.test/ca.crt --
@ca
-- roots/docker/new.test/a.cert --
@alpha.cert
-- roots/docker/new.test/a.key --
@alpha.key
-- roots/docker/there.test/a.cert --
@alpha.cert
-- roots/docker/there.test/a.key --
@alpha.key
-- out/there.test/ca.crt --
@ca
-- out/merged.test/hosts.toml --
# Written by hand.
server = "https://merged.test"
-- roots/docker/m.test/ca.crt --
@ca
-- roots/docker/m.test/b.cert --
@beta.cert
-- roots/docker/m.test/b.key --
@beta.key
-- config.toml --
version = 2
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
  endpoint = ["https://m.test"]
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."merged.test"]
  endpoint = ["https://m.test"]
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]
  endpoint = ["https://all.test"]
`

var nodeRegistries = []string{"new.test", "there.test", "merged.test", "m.test", "docker.io", "other.test"}

func plan(t *testing.T, dir string) *migrate.Plan {
	t.Helper()
	p, err := migrate.New(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestInterruptedWriteCanBeUsed interrupts the writing before each of its
// changes, by an error and by an end of the process, and goes on from there.
func TestInterruptedWriteCanBeUsed(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	lay(t, whole, txtar.Parse([]byte(node)).Files)
	var steps []string
	if err := plan(t, whole).WriteWith(func(what string) error { steps = append(steps, what); return nil }); err != nil {
		t.Fatal(err)
	}
	want := said(t, whole)
	if len(steps) < 20 {
		t.Errorf("only %d steps: %q", len(steps), steps)
	}
	if last := steps[len(steps)-1]; last != "rename _default" {
		t.Errorf("the last step is %q", last)
	}
	for i, step := range steps {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s, killed %v", i, step, killed), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				lay(t, dir, txtar.Parse([]byte(node)).Files)
				interrupt(t, plan(t, dir), i, killed)
				usable(t, dir)
				if left := temporaries(t, dir); !killed && len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				if _, err := plan(t, dir).Write(); err != nil {
					t.Fatal(err)
				}
				for _, file := range temporaries(t, dir) {
					if err := os.RemoveAll(file); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(want, said(t, dir)); diff != "" {
					t.Errorf("a second run makes something else (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// said is what was written, but for the comments: where something was said
// includes what an interrupted run has written.
func said(t *testing.T, dir string) string {
	t.Helper()
	text := strings.ReplaceAll(tree(t, filepath.Join(dir, "out")), dir, "$DIR")
	return regexp.MustCompile(`(?m)^# What .*\n`).ReplaceAllString(text, "")
}

// interrupt writes a plan up to a step.
func interrupt(t *testing.T, p *migrate.Plan, step int, killed bool) {
	t.Helper()
	disk := errors.New("no space left on device")
	defer func() {
		if r := recover(); r != nil && r != disk { //nolint:errorlint // it is this one
			panic(r)
		}
	}()
	err := p.WriteWith(func(string) error {
		if step--; step >= 0 {
			return nil
		}
		if killed {
			panic(disk)
		}
		return disk
	})
	if !errors.Is(err, disk) {
		t.Fatalf("got %v", err)
	}
}

// usable looks the registries up in what was written so far.
func usable(t *testing.T, dir string) {
	t.Helper()
	out := filepath.Join(dir, "out")
	hosts := &certsd.Hosts{Roots: certsd.Roots{out, filepath.Join(dir, "roots", "docker")}}
	for _, registry := range nodeRegistries {
		if _, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(out)})(registry); err != nil {
			t.Errorf("containerd: %s: %v", registry, err)
		}
		if _, err := hosts.Lookup(registry); err != nil {
			t.Errorf("certsd: %s: %v", registry, err)
		}
	}
}

// temporaries are the files and directories with another than their last name.
func temporaries(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(dir, "out"), func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), ".") {
			found = append(found, path)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay(t, dir, txtar.Parse([]byte(node+"-- roots/docker/both.test/both.cert --\n@both\n-- roots/docker/both.test/ca.crt --\n@ca-key\n")).Files)
	for file, mode := range map[string]fs.FileMode{"out/merged.test/hosts.toml": 0o600, "roots/docker/new.test/a.key": 0o644, "roots/docker/new.test/ca.crt": 0o400} {
		if err := os.Chmod(filepath.Join(dir, file), mode); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := plan(t, dir).Write(); err != nil {
		t.Fatal(err)
	}
	want := `_default/hosts.toml -rw-r--r--
both.test/both.cert -rw-------
both.test/ca.crt -rw-------
both.test/hosts.toml -rw-r--r--
docker.io/hosts.toml -rw-r--r--
m.test/b.cert -rw-r--r--
m.test/b.key -rw-------
m.test/ca.crt -rw-r--r--
m.test/hosts.toml -rw-r--r--
merged.test/hosts.toml -rw-------
new.test/a.cert -rw-r--r--
new.test/a.key -rw-------
new.test/ca.crt -rw-r--r--
new.test/hosts.toml -rw-r--r--
there.test/a.cert -rw-r--r--
there.test/a.key -rw-------
there.test/ca.crt -rw-r--r--
there.test/hosts.toml -rw-r--r--
`
	if got := modes(tree(t, filepath.Join(dir, "out"))); got != want {
		t.Errorf("got:\n%s", got)
	}
}

// TestLinksAreNotFollowed puts symbolic links where files are to be written.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about, link string
		note        string
	}{
		{
			about: "the directory", link: "out/merged.test",
			note: "$DIR/out/merged.test/hosts.toml: is in a directory that is a symbolic link: change the file in the directory it points to by hand",
		},
		{
			about: "hosts.toml", link: "out/merged.test/hosts.toml",
			note: "$DIR/out/merged.test/hosts.toml: is a symbolic link: change the file that it points to by hand",
		},
		{
			about: "a certificate", link: "out/there.test/a.cert",
			note: "$DIR/out/there.test/a.cert: is another file than $DIR/roots/docker/there.test/a.cert, which is named where it is",
		},
		{
			about: "the directory of a mirror", link: "out/m.test",
			note: "$DIR/out/m.test/ca.crt: is another file than $DIR/roots/docker/m.test/ca.crt, which is named where it is",
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, txtar.Parse([]byte(node+"-- elsewhere/hosts.toml --\nserver = 'https://elsewhere.test'\n")).Files)
			before := tree(t, filepath.Join(dir, "elsewhere"))
			link := filepath.Join(dir, tt.link)
			if err := os.RemoveAll(link); err != nil {
				t.Fatal(err)
			}
			target := "elsewhere"
			if filepath.Ext(link) != ".test" {
				target = "elsewhere/hosts.toml"
			}
			if err := os.Symlink(filepath.Join(dir, target), link); err != nil {
				t.Fatal(err)
			}
			p := plan(t, dir)
			if _, err := p.Write(); err != nil {
				t.Fatal(err)
			}
			if after := tree(t, filepath.Join(dir, "elsewhere")); after != before {
				t.Errorf("written through the link: %s", after)
			}
			if notes := strings.ReplaceAll(notesOf(p), dir, "$DIR"); !strings.Contains(notes, "left as it is: "+tt.note+"\n") {
				t.Errorf("no note %q in:\n%s", tt.note, notes)
			}
			usable(t, dir)
			if diff := plan(t, dir).Diff(); len(diff) > 0 {
				t.Errorf("a second run has something to do:\n%s", diff)
			}
		})
	}
}

// TestChangesMeanwhile changes the tree after the plan was made.
func TestChangesMeanwhile(t *testing.T) {
	t.Parallel()
	write := func(file, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			lay(t, dir, []txtar.File{{Name: file, Data: []byte(text)}})
		}
	}
	for _, tt := range []struct {
		about  string
		change func(t *testing.T, dir string)
		want   string
	}{
		{about: "another hosts.toml", change: write("out/merged.test/hosts.toml", "server = 'https://x.test'\n"), want: "cannot write $DIR/out/merged.test/hosts.toml: has changed meanwhile"},
		{about: "a new hosts.toml", change: write("out/there.test/hosts.toml", "server = 'https://x.test'\n"), want: "cannot write $DIR/out/there.test/hosts.toml: has appeared meanwhile"},
		{about: "a new certificate", change: write("out/there.test/a.cert", "x"), want: "cannot write $DIR/out/there.test/a.cert: has appeared meanwhile"},
		{about: "a link that leads out", change: func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, "elsewhere"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, "out/there.test")), os.Symlink("../elsewhere", filepath.Join(dir, "out/there.test"))); err != nil {
				t.Fatal(err)
			}
		}, want: "cannot write $DIR/out/there.test/a.key: path escapes from parent"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, txtar.Parse([]byte(node)).Files)
			p := plan(t, dir)
			tt.change(t, dir)
			_, err := p.Write()
			if err == nil || strings.ReplaceAll(err.Error(), dir, "$DIR") != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if left := temporaries(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if written := tree(t, filepath.Join(dir, "elsewhere")); written != "" {
				t.Errorf("written outside: %s", written)
			}
		})
	}
}
