package imageservice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestExampleSaysWhatHoldsWithoutIt(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	must(t, c.Load("../cri.toml.example"))
	want := DefaultConfig()
	// The example is for a service.
	want.Root = "/etc/containerd/certs.d:/etc/docker/certs.d"
	if diff := cmp.Diff(want, c, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile("../cri.toml.example")
	must(t, err)
	docs, err := os.ReadFile("../docs/kubernetes.md")
	must(t, err)
	for _, s := range c.Keys() {
		if !strings.Contains(string(text), s.Key+" = ") {
			t.Errorf("cri.toml.example has no %s", s.Key)
		}
		if !strings.Contains(string(docs), "| `"+s.Key+"` |") {
			t.Errorf("docs/kubernetes.md has no row for %s", s.Key)
		}
		if s.Usage == "" {
			t.Errorf("%s has no usage", s.Key)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"listn = 'x'", `FILE:1: listn: unknown key; did you mean "listen"?`},
		{"\nsnapshoter = 'x'", `FILE:2: snapshoter: unknown key; did you mean "snapshotter"?`},
		{"stop_timeout = '1 hour'", `FILE:1: stop_timeout: "1 hour" is not a duration such as "90s" or "1h"`},
	} {
		file := filepath.Join(t.TempDir(), "cri.toml")
		must(t, os.WriteFile(file, []byte(tt.text), 0o600))
		err := DefaultConfig().Load(file)
		if err == nil {
			t.Errorf("%q is taken", tt.text)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), file, "FILE"); got != tt.want {
			t.Errorf("%q: %s", tt.text, got)
		}
	}
}

func TestConfigValuesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		`registries: "some" is neither "configured" nor "all"`:                                         func(c *Config) { c.Registries = "some" },
		`listen: "127.0.0.1:1" is not unix:PATH`:                                                       func(c *Config) { c.Listen = "127.0.0.1:1" },
		`containerd: "containerd.sock" is not the path of a socket, such as ` + DefaultContainerd:      func(c *Config) { c.Containerd = "containerd.sock" },
		`image_service: /run/certsd/cri.sock is the address in listen itself`:                          func(c *Config) { c.ImageService = "/run/certsd/cri.sock" },
		`image_service: unix:///run/certsd/cri.sock is the address in listen itself`:                   func(c *Config) { c.ImageService = "unix:///run/certsd/cri.sock" },
		`metrics: "foo" is neither host:port nor unix:PATH`:                                            func(c *Config) { c.Metrics = "foo" },
		`max_concurrent_downloads: -1 is less than 0`:                                                  func(c *Config) { c.MaxConcurrentDownloads = -1 },
		`image_pull_progress_timeout: "5" is not a duration such as "90s" or "1h"`:                     func(c *Config) { c.ImagePullProgressTimeout = "5" },
		`stop_timeout must be more than 0`:                                                             func(c *Config) { c.StopTimeout = 0 },
		`"Not A Ref": invalid reference format: repository name (library/Not A Ref) must be lowercase`: func(c *Config) { c.SandboxImage = "Not A Ref" },
		`registry_v1: "no" is not one of "never", "configured" and "always"`:                           func(c *Config) { c.RegistryV1 = "no" },
		`root: "certs.d" is not an absolute path`:                                                      func(c *Config) { c.Root = "certs.d" },
	} {
		c := DefaultConfig()
		change(c)
		if err := c.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	must(t, DefaultConfig().Check())
}
