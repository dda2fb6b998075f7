package migrate

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// FuzzCRI reads a configuration of containerd, plans and shows what it says,
// and looks everything up that would be written.
func FuzzCRI(f *testing.F) {
	for _, seed := range []string{
		"version = 2\n[" + v2 + ".mirrors.'docker.io']\nendpoint = ['https://m.test', 'http://n.test:5000/x/']\n[" + v2 + ".mirrors.'*']\nendpoint = ['o.test']",
		"version = 3\n[" + v3 + ".configs.'reg.test:5000'.tls]\ninsecure_skip_verify = true\nca_file = '/none'\n[" + v3 + ".configs.'reg.test'.auth]\npassword = 'secret'",
		"[plugins.cri.registry]\nconfig_path = 'a:b'\nheaders = {a = ['b']}\n[plugins.cri.registry.auths.'https://x']\nauth = ''",
		"version = 2\nimports = ['*.toml', '/none']\n[" + v2 + ".mirrors.'[::1]:5000']\nendpoint = [\"https://[::1]:5000/a\\\"b\\n\"]",
		"version = 2\n[" + v2 + ".mirrors.'../x']\nendpoint = ['https://../x', '%', '://']",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		fuzzed(t, dir, "config.toml", text)
	})
}

// FuzzDaemon does the same with a daemon.json.
func FuzzDaemon(f *testing.F) {
	for _, seed := range []string{
		`{"registry-mirrors": ["https://m.test", "n.test/x"], "insecure-registries": ["10.0.0.0/8", "reg.test:5000", "::1/128", "[::1]:5000"]}`,
		`{"registry-mirrors": "x"}`,
		"{\n \"insecure-registries\": [1]}",
		"\xef\xbb\xbf{}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		fuzzed(t, dir, "daemon.json", text)
	})
}

// fuzzed plans for one configuration. Nothing may leave the root, and what is
// written has to be readable, and to say it all.
func fuzzed(t *testing.T, dir, name, text string) {
	t.Helper()
	if strings.Contains(text, "_file") && strings.Contains(text, "/") {
		// A file of this machine is none of ours.
		text = strings.ReplaceAll(text, "_file", "_fill")
	}
	if strings.Contains(text, "imports") {
		text = strings.ReplaceAll(text, "/", "")
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Roots: certsd.Roots{filepath.Join(dir, "docker")}, Configs: []string{filepath.Join(dir, name)}, Output: filepath.Join(dir, "out", "certs.d")}
	p, err := New(o)
	if err != nil {
		return
	}
	before := list(t, dir)
	p.Diff()
	if _, err := p.Write(); err != nil {
		// A name may be too long for the file system.
		return
	}
	for file := range list(t, dir) {
		if !before[file] && !strings.HasPrefix(file, o.Output) && file != filepath.Dir(o.Output) {
			t.Errorf("%s was written", file)
		}
	}
	hosts := &certsd.Hosts{Roots: certsd.Roots{o.Output}}
	for _, d := range p.Directories {
		registry, err := hostname.OfDirectory(d.Name)
		if d.Name == defaultDir {
			registry, err = "any.test", nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hosts.Lookup(registry); err != nil {
			t.Errorf("%s: %v\n%s", registry, err, d.Hosts)
		}
	}
	again, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := again.Diff(); len(diff) > 0 {
		t.Errorf("a second run has something to do:\n%s\nleft: %v", diff, again.Notes)
	}
}

// list are all files and directories below one.
func list(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// FuzzMerge adds to a hosts.toml: the lines that are there stay there.
func FuzzMerge(f *testing.F) {
	for _, seed := range []string{
		"", "# comment\n", "server = 'https://reg.test'", "server = 'https://reg.test'\n\n# A mirror.\n[host.'https://x']\n",
		"[host]\n", "a = '''\n[host]\n'''\n[x]", "[host.'https://m.test']\n[host.'https://n.test']", "ca = 'x'\nskip_verify = true",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, old string) {
		ca := &file{source: "/pki/ca.pem", data: []byte("x")}
		want := &host{
			registry: "reg.test", plain: true, from: []string{"x"},
			hosts:  []entry{{address: "https://m.test", limited: true}, {address: "https://n.test/x", override: true, trust: trust{ca: []*file{ca}, system: true}}},
			server: entry{address: "https://reg.test", trust: trust{skipVerify: true}},
		}
		text, _, err := merge([]byte(old), want, "reg.test", t.TempDir())
		if err != nil || text == nil || strings.TrimSpace(old) == "" {
			return
		}
		now := slices.Collect(strings.Lines(string(text)))
		for line := range strings.Lines(old) {
			line = strings.TrimSuffix(line, "\n")
			i := slices.IndexFunc(now, func(l string) bool { return strings.TrimSuffix(l, "\n") == line })
			if i < 0 {
				t.Fatalf("%q is gone from:\n%s", line, text)
			}
			now = now[i+1:]
		}
		before, err := parseTOML("old", []byte(old))
		if err != nil {
			t.Fatal(err)
		}
		after, err := parseTOML("new", text)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range before.root {
			if _, isTable := value.(map[string]any); !isTable && !slices.Contains(slices.Collect(maps.Keys(after.root)), key) {
				t.Errorf("%s is gone from:\n%s", key, text)
			}
		}
		if again, _, err := merge(text, want, "reg.test", t.TempDir()); err != nil && !strings.Contains(err.Error(), "names other files") || again != nil {
			t.Errorf("a second merge gives %v:\n%s", err, again)
		}
	})
}
