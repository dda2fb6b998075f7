package gatewayconfig

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is what lies below dir, with mode and text.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWriteAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	write := func(secret string) {
		t.Helper()
		g := Gateway{URL: "http://127.0.0.1:5999", Secret: secret, Upstreams: []string{"registry.example"}}
		for _, files := range []func() ([]File, error){g.Hosts, g.BuildKit, g.RegistriesConf} {
			list, err := files()
			if err != nil {
				t.Fatal(err)
			}
			if err := Write(dir, list); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("old")
	hosts := filepath.Join(dir, "registry.example", "hosts.toml")
	before, err := os.Stat(hosts)
	if err != nil {
		t.Fatal(err)
	}
	write("old")
	if after, err := os.Stat(hosts); err != nil || !os.SameFile(before, after) {
		t.Errorf("a file with the same text was written again (%v)", err)
	}
	// What somebody opened is closed again.
	if err := os.Chmod(hosts, 0o644); err != nil {
		t.Fatal(err)
	}
	write("old")
	if got := tree(t, dir)["registry.example/hosts.toml"][:10]; got != "-rw-------" {
		t.Errorf("mode of hosts.toml is %s", got)
	}
	write("new")
	want := map[string]string{
		"registry.example/hosts.toml": `-rw------- # Written by certsd gateway --print-hosts.
server = "http://127.0.0.1:5999"
capabilities = ["pull", "resolve"]

[header]
  X-Certsd-Token = ["new"]

[host]
`,
		"buildkitd.toml": `-rw-r--r-- # Written by certsd gateway --print-buildkit.
[registry."registry.example"]
  mirrors = ["127.0.0.1:5999"]

[registry."127.0.0.1:5999"]
  http = true
`,
		"certsd.conf": `-rw-r--r-- # Written by certsd gateway --print-registries-conf.
[[registry]]
prefix = "registry.example"
location = "127.0.0.1:5999/registry.example"
insecure = true
`,
		"config.json": "-rw------- {\n  \"auths\": {\n    \"127.0.0.1:5999\": {\n      \"auth\": \"Y2VydHNkOm5ldw==\"\n    }\n  }\n}\n",
		"auth.json":   "-rw------- {\n  \"auths\": {\n    \"127.0.0.1:5999\": {\n      \"auth\": \"Y2VydHNkOm5ldw==\"\n    }\n  }\n}\n",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestWriteReplacesNothingOfOthers(t *testing.T) {
	t.Parallel()
	g := Gateway{URL: "http://127.0.0.1:5999", Secret: "word", Upstreams: []string{"a.example", "b.example"}}
	for _, test := range []struct {
		name  string
		files func() ([]File, error)
		path  string
		text  string
	}{
		{"a hosts.toml", g.Hosts, "b.example/hosts.toml", "server = \"https://b.example\"\n"},
		{"a buildkitd.toml", g.BuildKit, "buildkitd.toml", ""},
		{"credentials of others too", g.BuildKit, "config.json", `{"auths": {"127.0.0.1:5999": {"auth": "Y2VydHNkOm5ldw=="}, "other.example": {"auth": "eDp5"}}}`},
		{"credentials of another", g.RegistriesConf, "auth.json", `{"auths": {"other.example": {"auth": "eDp5"}}}`},
		{"credentials and settings", g.BuildKit, "config.json", `{"auths": {"127.0.0.1:5999": {"auth": "Y2VydHNkOm5ldw=="}}, "credsStore": "pass"}`},
		{"no JSON", g.RegistriesConf, "auth.json", `{`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, test.path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			files, err := test.files()
			if err != nil {
				t.Fatal(err)
			}
			want := path + " was not written by a gateway: move it away, or add to it by hand"
			if err := Write(dir, files); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("tree (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWriteFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte(marker), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "one")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	want := path + " was not written by a gateway: move it away, or add to it by hand"
	if err := Write(dir, []File{{Path: "one", Text: "text"}}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
