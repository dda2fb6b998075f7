package takeover_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/takeover"
)

const (
	config  = "/etc/containerd/config.toml"
	program = "/usr/lib/containerd-certsd/2.3/containerd"
	dropIn  = "/etc/systemd/system/containerd.service.d/zz-certsd.conf"
	service = "/lib/systemd/system/containerd.service"
	plain   = "[Unit]\nDescription=containerd\n\n[Service]\nExecStartPre=-/sbin/modprobe overlay\nExecStart=/usr/bin/containerd\n"
	ours    = "# Written by certsd plugin enable; certsd plugin disable takes it away.\n[Service]\nExecStart=" + "\nExecStart=" + program
	path    = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// node makes a root with files.
func node(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, program, "")
	for name, text := range files {
		write(t, root, name, text)
	}
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o640)); err != nil {
		t.Fatal(err)
	}
}

// state are all files with their modes.
func state(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		all[strings.TrimPrefix(file, root)] = info.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func enable(t *testing.T, root string) {
	t.Helper()
	plan, err := takeover.Enable(takeover.Options{Root: root, Line: "2.3"})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(); err != nil {
		t.Fatal(err)
	}
}

func disable(t *testing.T, root string) {
	t.Helper()
	plan, err := takeover.Disable(takeover.Options{Root: root, Line: "2.3"})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(); err != nil {
		t.Fatal(err)
	}
}

func TestThereAndBack(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string
		// start and path are of the drop-in, version and disabled of the configuration.
		start, path string
		config      string
		version     int
		disabled    []string
	}{
		"nothing is configured": {
			files: map[string]string{service: plain},
			path:  path, version: 3,
		},
		"version 2": {
			files: map[string]string{service: plain, config: "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n    bin_dir = \"/usr/lib/cni\"\n"},
			path:  path, version: 2,
		},
		"plugins are disabled": {
			files: map[string]string{service: plain, config: "# mine\nroot = \"/data\"\ndisabled_plugins = [ # none but\n  \"io.containerd.snapshotter.v1.zfs\", # ']'\n]\nversion = 3"},
			path:  path, version: 3, disabled: []string{"io.containerd.snapshotter.v1.zfs"},
		},
		"an empty list": {
			files: map[string]string{service: plain, config: "disabled_plugins = []\nversion = 3\n"},
			path:  path, version: 3,
		},
		"all is there": {
			files: map[string]string{service: plain, config: "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer']\n[plugins.'io.containerd.internal.v1.certsd']\nschema1 = false\n"},
			path:  path, version: 3,
		},
		"a containerd in /usr/local, with options, another configuration and a PATH": {
			files: map[string]string{
				"/usr/local/bin/containerd":           "theirs",
				"/etc/systemd/system/" + unitName:     "[Service]\nExecStart=/usr/local/bin/containerd --log-level debug \\\n  --config /opt/containerd.toml\nEnvironment=\"A=b\" \"PATH=/opt/bin:/bin\"\n",
				service:                               plain,
				"/opt/containerd.toml":                "version = 3\n",
				"/etc/containerd/config.toml":         "not read",
				"/etc/systemd/system/containerd.conf": "",
			},
			start: " --log-level debug    --config /opt/containerd.toml", path: "/opt/bin:/bin", config: "/opt/containerd.toml", version: 3,
		},
		"drop-ins are there": {
			files: map[string]string{
				service: plain,
				"/etc/systemd/system/containerd.service.d/override.conf":   "[Service]\nExecStart=\nExecStart=/usr/bin/containerd -l trace\n",
				"/etc/systemd/system/containerd.service.d/http-proxy.conf": "[Service]\nEnvironment=HTTPS_PROXY=http://proxy.example:3128\n",
			},
			start: " -l trace", path: path, version: 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := node(t, row.files)
			before := state(t, root)
			enable(t, root)
			now := state(t, root)
			want := "-rw-r--r-- " + ours + row.start + "\nEnvironment=\"PATH=/usr/lib/containerd-certsd/2.3:" + row.path + "\"\n"
			if diff := cmp.Diff(want, now[dropIn]); diff != "" {
				t.Errorf("drop-in (-want +got):\n%s", diff)
			}
			file := config
			if row.config != "" {
				file = row.config
			}
			_, text, _ := strings.Cut(now[file], " ")
			var got struct {
				Version  int                       `toml:"version"`
				Disabled []string                  `toml:"disabled_plugins"`
				Plugins  map[string]map[string]any `toml:"plugins"`
			}
			if err := toml.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			disabled := append([]string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"}, row.disabled...)
			if diff := cmp.Diff(disabled, got.Disabled); diff != "" || got.Version != row.version || got.Plugins["io.containerd.internal.v1.certsd"] == nil {
				t.Errorf("version %d, %s in\n%s", got.Version, diff, text)
			}
			// What is there already is no change, and does not lose the old file.
			enable(t, root)
			if diff := cmp.Diff(now, state(t, root)); diff != "" {
				t.Errorf("enabled twice:\n%s", diff)
			}
			disable(t, root)
			if diff := cmp.Diff(before, state(t, root)); diff != "" {
				t.Errorf("back (-before +after):\n%s", diff)
			}
		})
	}
}

const unitName = "containerd.service"

func TestWhatWasChangedSinceStays(t *testing.T) {
	t.Parallel()
	old := "version = 2\ndisabled_plugins = [\"a\"]\n"
	root := node(t, map[string]string{service: plain, config: old})
	enable(t, root)
	file := filepath.Join(root, config)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, config, string(text)+"\n[debug]\n  level = \"debug\"\n")
	disable(t, root)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old+"\n[debug]\n  level = \"debug\"\n", string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestUmask(t *testing.T) {
	// Not parallel: it is the process's.
	defer syscall.Umask(syscall.Umask(0o777))
	syscall.Umask(0o022)
	root := node(t, map[string]string{service: plain, config: "version = 3\n"})
	syscall.Umask(0o777)
	enable(t, root)
	for name, want := range map[string]fs.FileMode{dropIn: 0o644, filepath.Dir(dropIn): 0o755 | fs.ModeDir, config: 0o640} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no unit":              {nil, "this machine does not start containerd with systemd"},
		"a foreign drop-in":    {map[string]string{service: plain, dropIn: "[Service]\n"}, "certsd did not write it: remove it"},
		"a drop-in after ours": {map[string]string{service: plain, filepath.Dir(dropIn) + "/zzz.conf": "[Service]\nExecStart=\nExecStart=/bin/x\n"}, "zzz.conf sets ExecStart and counts after"},
		"invalid TOML":         {map[string]string{service: plain, config: "version = \n"}, "config.toml: is not valid TOML"},
		"an inline table":      {map[string]string{service: plain, config: "version = 3\nplugins = {}\n"}, "put io.containerd.transfer.v1.local"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := node(t, row.files)
			before := state(t, root)
			_, err := takeover.Enable(takeover.Options{Root: root, Line: "2.3"})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff(before, state(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := takeover.Enable(takeover.Options{Root: node(t, nil), Line: "2.4"}); err == nil || !strings.Contains(err.Error(), "install the package containerd-certsd-2.4") {
		t.Errorf("a line that is not there: %v", err)
	}
}

// TestNothingIsWrittenUnchecked has containerd refuse what it is given.
func TestNothingIsWrittenUnchecked(t *testing.T) {
	t.Parallel()
	root := node(t, map[string]string{service: plain, config: "version = 3\n"})
	before := state(t, root)
	refuses := errors.New("invalid")
	plan, err := takeover.Enable(takeover.Options{Root: root, Line: "2.3", Check: func(name, file string) error {
		text, err := os.ReadFile(file)
		if err != nil || name != filepath.Join(root, program) || !strings.Contains(string(text), "io.containerd.transfer.v1.local") {
			t.Errorf("%s is given %q, %v", name, text, err)
		}
		return refuses
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"+++ " + config, "+ExecStart=" + program, "+disabled_plugins = ["} {
		if !strings.Contains(string(plan.Diff()), want) {
			t.Errorf("%q is missing in\n%s", want, plan.Diff())
		}
	}
	if err := plan.Write(); !errors.Is(err, refuses) {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff(before, state(t, root)); diff != "" {
		t.Error(diff)
	}
}

func TestAnotherLineStays(t *testing.T) {
	t.Parallel()
	root := node(t, map[string]string{service: plain})
	enable(t, root)
	plan, err := takeover.Disable(takeover.Options{Root: root, Line: "2.2"})
	if err != nil || !plan.Nothing() {
		t.Errorf("%s, %v", plan.Diff(), err)
	}
}

func FuzzEnable(f *testing.F) {
	for _, text := range []string{"", "version = 2\n", "disabled_plugins = [\n'a', # ]\n]", "disabled_plugins=['a']\n[plugins]\n", "a.b = 1\nversion=3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root := node(t, map[string]string{service: plain, config: text})
		before := state(t, root)
		plan, err := takeover.Enable(takeover.Options{Root: root, Line: "2.3"})
		if err != nil {
			return
		}
		if err := plan.Write(); err != nil {
			t.Fatal(err)
		}
		disable(t, root)
		if diff := cmp.Diff(before, state(t, root)); diff != "" {
			t.Error(diff)
		}
	})
}
