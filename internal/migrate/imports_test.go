package migrate

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	serverconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

const (
	v2 = `plugins."io.containerd.grpc.v1.cri".registry`
	v3 = `plugins."io.containerd.cri.v1.images".registry`
)

// TestImportsLikeContainerd compares what is read of several files with what
// containerd's own reader makes of them.
func TestImportsLikeContainerd(t *testing.T) {
	t.Parallel()
	log.L.Logger.SetOutput(io.Discard)
	for _, tt := range []struct{ about, files string }{
		{about: "one file", files: "-- config.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['x']\n"},
		{about: "a file beside it", files: "-- config.toml --\nversion=2\nimports=['more.toml']\n[V2.mirrors.a]\nendpoint=['x']\n" +
			"-- more.toml --\nversion=2\n[V2.mirrors.b]\nendpoint=['y']\n"},
		{about: "a pattern", files: "-- config.toml --\nversion=2\nimports=['conf.d/*.toml']\n" +
			"-- conf.d/b.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['b']\n-- conf.d/a.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['a']\n[V2.mirrors.c]\nendpoint=['c']\n"},
		{about: "a pattern that matches nothing", files: "-- config.toml --\nversion=2\nimports=['conf.d/*.toml']\n[V2]\nconfig_path='x'\n"},
		{about: "the full path", files: "-- config.toml --\nversion=2\nimports=['$DIR/more.toml']\n-- more.toml --\nversion=2\n[V2.mirrors.b]\nendpoint=['y']\n"},
		{about: "a circle", files: "-- config.toml --\nversion=2\nimports=['more.toml']\n[V2.mirrors.a]\nendpoint=['x']\n" +
			"-- more.toml --\nversion=2\nimports=['config.toml']\n[V2.mirrors.a]\nendpoint=['y']\n"},
		{about: "the same key, in parts", files: "-- config.toml --\nversion=2\nimports=['more.toml']\n[V2.configs.a.tls]\nca_file='x'\ncert_file='c'\n" +
			"-- more.toml --\nversion=2\n[V2.configs.a.tls]\nca_file='y'\nkey_file='k'\n"},
		{about: "endpoints are replaced", files: "-- config.toml --\nversion=2\nimports=['more.toml']\n[V2.mirrors.a]\nendpoint=['x','y']\n" +
			"-- more.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['z']\n"},
		{about: "imports of an import", files: "-- config.toml --\nversion=2\nimports=['a/a.toml','b.toml']\n-- a/a.toml --\nversion=2\nimports=['c.toml']\n[V2.mirrors.a]\nendpoint=['a']\n" +
			"-- a/c.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['c']\n-- b.toml --\nversion=2\n[V2.mirrors.a]\nendpoint=['b']\n"},
		{about: "version 3", files: "-- config.toml --\nversion=3\nimports=['more.toml']\n[V3.mirrors.a]\nendpoint=['x']\n-- more.toml --\nversion=3\n[V3]\nconfig_path='x'\n"},
		{about: "version 4", files: "-- config.toml --\nversion=4\n[V3.mirrors.a]\nendpoint=['x']\n"},
		{about: "version 1", files: "-- config.toml --\n[plugins.cri.registry.mirrors.a]\nendpoint=['x']\n"},
		{about: "nothing", files: "-- config.toml --\nversion=2\n"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, f := range txtar.Parse([]byte(strings.NewReplacer("V2", v2, "V3", v3, "$DIR", dir).Replace(tt.files))).Files {
				path := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, "config.toml")
			doc, _, err := loadRegistry([]string{file})
			if err != nil {
				t.Fatal(err)
			}
			ours := map[string]any{}
			if doc != nil {
				ours = doc.root
			}
			if version.ConfigVersion < 4 && strings.Contains(tt.files, "version=4") {
				asVersion3(t, file)
			}
			var c serverconfig.Config
			if err := serverconfig.LoadConfig(t.Context(), file, &c); err != nil {
				t.Fatal(err)
			}
			theirs := map[string]any{}
			for _, plugin := range []string{"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"} {
				if settings, ok := c.Plugins[plugin].(map[string]any); ok {
					theirs, _ = settings["registry"].(map[string]any)
				}
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("not the same (-containerd +ours):\n%s", diff)
			}
		})
	}
}

// asVersion3 makes a configuration of version 4 one that containerd before 2.4
// reads. The keys of images are the same.
func asVersion3(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("version=4"), []byte("version=3"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadable are configurations that end the command.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ about, text, want string }{
		{about: "an import that is not there", text: "version=2\nimports=['none.toml']", want: "$DIR/config.toml:2: imports: $DIR/none.toml: no such file or directory"},
		{about: "an import that is a directory", text: "version=2\nimports=['.']", want: "$DIR/config.toml:2: imports: $DIR: is a directory"},
		{about: "a bad pattern", text: "imports=['[*']", want: `$DIR/config.toml:1: imports: "$DIR/[*": syntax error in pattern`},
		{about: "a newer version", text: "version = 5", want: "$DIR/config.toml:1: version: 5 is unknown: versions up to 4 can be read"},
		{about: "a version in words", text: "version = 'two'", want: "$DIR/config.toml:1: version: is a string, must be a number"},
		{about: "invalid TOML", text: "version = 2\n[a\n", want: "$DIR/config.toml:2: invalid TOML: expected ']' to close table name"},
		{about: "mirrors that are no table", text: "version=2\n[" + v2 + "]\nmirrors = 1", want: "$DIR/config.toml:3: " + v2 + ".mirrors: is a number, must be a table"},
		{about: "an endpoint that is no list", text: "version=2\n[" + v2 + ".mirrors.a]\nendpoint = 'x'", want: "$DIR/config.toml:3: " + v2 + ".mirrors.a.endpoint: is a string, must be a list of strings"},
		{about: "a file name that is none", text: "version=2\n[" + v2 + ".configs.a.tls]\nca_file = true", want: "$DIR/config.toml:3: " + v2 + ".configs.a.tls.ca_file: is a boolean, must be a string"},
		{about: "a switch that is none", text: "version=2\n[" + v2 + ".configs.a.tls]\ninsecure_skip_verify = 'yes'", want: "$DIR/config.toml:3: " + v2 + ".configs.a.tls.insecure_skip_verify: is a string, must be true or false"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "config.toml")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readCRI([]string{file}, "/none", &notes{})
			if err == nil || strings.ReplaceAll(err.Error(), dir, "$DIR") != tt.want {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestDefaultConfigs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about string
		euid  int
		env   map[string]string
		files string
		want  string
	}{
		{about: "root", files: "/etc/containerd/config.toml /etc/docker/daemon.json", want: "/etc/containerd/config.toml /etc/docker/daemon.json"},
		{about: "root, one of them", files: "/etc/docker/daemon.json", want: "/etc/docker/daemon.json"},
		{about: "root does not read a home", env: map[string]string{"HOME": "/root"}, files: "/root/.config/docker/daemon.json"},
		{
			about: "a user", euid: 1000, env: map[string]string{"HOME": "/home/u"}, files: "/home/u/.config/docker/daemon.json /etc/docker/daemon.json /etc/containerd/config.toml",
			want: "/etc/containerd/config.toml /home/u/.config/docker/daemon.json",
		},
		{about: "a user who has moved it", euid: 1000, env: map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "/x"}, files: "/x/containerd/config.toml /home/u/.config/containerd/config.toml", want: "/x/containerd/config.toml"},
		{about: "a user without a home", euid: 1000, files: "/etc/docker/daemon.json", want: "/etc/docker/daemon.json"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			got := defaultConfigs(tt.euid, func(name string) string { return tt.env[name] }, func(file string) bool { return slices.Contains(strings.Fields(tt.files), file) })
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %s", got, tt.want)
			}
		})
	}
}

// TestImportsDoNotSwallowWhatIsWritten refuses patterns that would match it:
// containerd would not start any more.
func TestImportsDoNotSwallowWhatIsWritten(t *testing.T) {
	t.Parallel()
	for pattern, refused := range map[string]bool{
		"*": true, "*/*": true, "*/*/*": true, "*/*/*/*.toml": true, "o*": true, "out/*": true,
		"*.toml": false, "conf.d/*.toml": false, "conf.d/*": false, "*/*.toml": false, "out": false,
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "config.toml")
		if err := os.WriteFile(file, []byte("version = 2\nimports = ['"+pattern+"']\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if pattern == "out" {
			if err := os.WriteFile(filepath.Join(dir, "out"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := readCRI([]string{file}, filepath.Join(dir, "out", "certs.d"), &notes{})
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "config.toml:2") {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}
