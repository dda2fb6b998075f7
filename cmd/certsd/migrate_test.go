package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// migration runs certsd migrate on the files in dir.
func migration(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"certsd", "migrate", "--root", filepath.Join(dir, "docker"), "--output", filepath.Join(dir, "new")}, args...)
	code = run(t.Context(), args, &out, &errs)
	return code, strings.ReplaceAll(out.String(), dir, "$DIR"), strings.ReplaceAll(errs.String(), dir, "$DIR")
}

// writeFiles writes files below a new directory.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const oldConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
  endpoint = ["https://mirror.test"]
[plugins."io.containerd.grpc.v1.cri".registry.configs."mirror.test".auth]
  password = "s3cret"
`

func TestMigrateShowsAndWrites(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"config.toml":                oldConfig,
		"docker/reg.test:5000/a.crt": string(certtest.NewCA("CA").PEM),
	})
	config := filepath.Join(dir, "config.toml")
	wantOut := `--- /dev/null
+++ $DIR/new/docker.io/hosts.toml
@@ -0,0 +1,5 @@
+# What $DIR/config.toml said.
+server = "https://registry-1.docker.io"
+
+[host."https://mirror.test"]
+  capabilities = ["pull", "resolve"]
# copy $DIR/docker/reg.test:5000/a.crt to $DIR/new/reg.test:5000/a.crt, mode 0644
--- /dev/null
+++ $DIR/new/reg.test:5000/hosts.toml
@@ -0,0 +1,5 @@
+# What $DIR/docker/reg.test:5000 said.
+server = "https://reg.test:5000"
+ca = ["a.crt"]
+
+[host]
`
	wantErr := `hosts.toml cannot say:
  $DIR/config.toml:4: plugins."io.containerd.grpc.v1.cri".registry.configs."mirror.test".auth: user and password for mirror.test: ` +
		`containerd reads it beside config_path, too, but has deprecated it; use an image pull secret in Kubernetes and docker login mirror.test elsewhere
to be done by hand:
  $DIR/config.toml:2: plugins."io.containerd.grpc.v1.cri".registry.mirrors: remove it when the new tree is in place: containerd does not take both
  $DIR/config.toml:2: plugins."io.containerd.grpc.v1.cri".registry: set config_path = "$DIR/new"
`
	for _, tt := range []struct {
		about, out, last string
		args             []string
	}{
		{about: "shown", out: wantOut, last: "nothing is written; --write does it\n"},
		{
			about: "written", args: []string{"--write"}, out: wantOut,
			last: "written:\n  $DIR/new/reg.test:5000/a.crt\n  $DIR/new/docker.io/hosts.toml\n  $DIR/new/reg.test:5000/hosts.toml\n",
		},
		{about: "written again", args: []string{"--write"}, last: "nothing to write: $DIR/new says it all\n"},
		{about: "shown after that"},
	} {
		code, out, errs := migration(t, dir, append(tt.args, "--config", config)...)
		if code != exitDone || out != tt.out || errs != wantErr+tt.last {
			t.Errorf("%s: exit code %d, output:\n%s\n%s", tt.about, code, out, errs)
		}
	}
}

func TestMigrateExitCodes(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"good.toml":   oldConfig,
		"bad.toml":    "version = 2\n[plugins",
		"type.toml":   "version = 2\n\n[plugins.cri]\nregistry = 'x'\n",
		"bad.json":    "{\n  \"registry-mirrors\": [\n}",
		"type.json":   "{\n  \"registry-mirrors\": \"x\"\n}",
		"new/mirrors": "",
		"file":        "",
	})
	for _, tt := range []struct {
		about string
		args  []string
		code  int
		want  string
	}{
		{about: "an argument", args: []string{"x"}, code: exitUsage, want: `migrate takes no arguments, not "x"`},
		{about: "no such file", args: []string{"--config", dir + "/none"}, code: exitUsage, want: "$DIR/none: no such file or directory"},
		{about: "invalid TOML", args: []string{"--config", dir + "/bad.toml"}, code: exitUsage, want: "$DIR/bad.toml:2: invalid TOML: "},
		{about: "a wrong type in TOML", args: []string{"--config", dir + "/type.toml"}, code: exitUsage, want: "$DIR/type.toml:4: plugins.cri.registry: is a string, must be a table"},
		{about: "no JSON", args: []string{"--config", dir + "/bad.json"}, code: exitUsage, want: "$DIR/bad.json:3: it is not valid JSON from byte "},
		{about: "a wrong type in JSON", args: []string{"--config", dir + "/type.json"}, code: exitUsage, want: "$DIR/type.json:2: registry-mirrors: is a string, must be a list of strings"},
		{about: "a file for the root to write", args: []string{"--config", dir + "/good.toml", "--output", dir + "/file"}, code: exitUsage, want: "$DIR/file: not a directory"},
		{about: "a root that cannot be made", args: []string{"--config", dir + "/good.toml", "--output", "/proc/certs.d", "--write"}, code: exitFailed, want: "cannot write /proc/certs.d: no such file or directory"},
		{about: "a file for its parent", args: []string{"--config", dir + "/good.toml", "--output", dir + "/file/certs.d", "--write"}, code: exitUsage, want: "$DIR/file/certs.d: not a directory"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			code, _, errs := migration(t, dir, tt.args...)
			if code != tt.code || !strings.Contains(errs, "certsd: "+tt.want) {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, errs)
			}
		})
	}
}
