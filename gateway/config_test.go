package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/certsd/containerd-certsd/internal/settings"
)

func TestExampleSaysWhatHoldsWithoutIt(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	must(t, c.Load("../gateway.toml.example"))
	want := DefaultConfig()
	// The example is for a service.
	want.State = "/var/lib/certsd/gateway"
	want.Root = "/etc/containerd/certs.d:/etc/docker/certs.d"
	if diff := cmp.Diff(want, c, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile("../gateway.toml.example")
	must(t, err)
	docs, err := os.ReadFile("../docs/gateway.md")
	must(t, err)
	for _, s := range c.Keys() {
		if !strings.Contains(string(text), s.Key+" = ") {
			t.Errorf("gateway.toml.example has no %s", s.Key)
		}
		if !strings.Contains(string(docs), "| `"+s.Key+"` |") {
			t.Errorf("docs/gateway.md has no row for %s", s.Key)
		}
		if s.Usage == "" {
			t.Errorf("%s has no usage", s.Key)
		}
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"listn = ['x']", `FILE:1: listn: unknown key; did you mean "listen"?`},
		{"\nallow-any-local = true", `FILE:2: allow-any-local: unknown key; did you mean "allow_any_local"?`},
		{"zzz = 1\nstate = 'x'\nyyyy = 2", "FILE:1: zzz: unknown key\nFILE:3: yyyy: unknown key"},
		{"[gateway]\nlisten = ['x']", `FILE:1: gateway: unknown key`},
		{"listen = 'x'", `FILE:1: listen: must be a list of strings, such as ["a", "b"], and is of type string`},
		{"state = 1", `FILE:1: state: must be a string, such as "a", and is of type integer`},
		{"schema1 = 'no'", `FILE:1: schema1: must be true or false, and is of type string`},
		{"rotate_on = 403", `FILE:1: rotate_on: must be a list of strings, such as ["a", "b"], and is of type integer`},
		{"listen = ", `FILE:1: expected value, not end of input`},
		{"max_connections = '1'", `FILE:1: max_connections: must be a number, and is of type string`},
		{"secret_grace = '1 hour'", `FILE:1: secret_grace: "1 hour" is not a duration such as "90s" or "1h"`},
		{"secret_grace = '-1h'", `FILE:1: secret_grace: "-1h" is negative`},
		{"state = 'a'\nstore_size = '20 gigs'", `FILE:2: store_size: "20 gigs" is not a size such as "512MiB" or "20GiB"`},
		{"store_size = '99999999TiB'", `FILE:1: store_size: "99999999TiB" is not a size such as "512MiB" or "20GiB"`},
		{"state = 'a'\nstate = 'b'", `FILE:2: state: key state is already defined`},
	} {
		file := filepath.Join(t.TempDir(), "gateway.toml")
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
		`system_roots: "no" is neither "fallback" nor "append"`:                            func(c *Config) { c.SystemRoots = "no" },
		`registry_v1: "no" is not one of "never", "configured" and "always"`:               func(c *Config) { c.RegistryV1 = "no" },
		`upstreams: host "a/b": contains "/": give the host only, without scheme and path`: func(c *Config) { c.Upstreams = []string{"a/b"} },
		`rotate_on: "401": asks for credentials and never moves on to another certificate`: func(c *Config) { c.RotateOn = []string{"401"} },
		`log_level: "loud" is not one of debug, info, warn, error`:                         func(c *Config) { c.LogLevel = "loud" },
		`root: ":" does not name a directory`:                                              func(c *Config) { c.Root = ":" },
		`root: "certs.d" is not an absolute path`:                                          func(c *Config) { c.Root = "/a:certs.d" },
		`listen: no address`: func(c *Config) { c.Listen = nil },
		`listen: "foo" is neither host:port nor unix:PATH`:             func(c *Config) { c.Listen = []string{"foo"} },
		`listen: "unix:" is neither host:port nor unix:PATH`:           func(c *Config) { c.Listen = []string{"unix:"} },
		`listen: "127.0.0.1:99999" is neither host:port nor unix:PATH`: func(c *Config) { c.Listen = []string{"127.0.0.1:1", "127.0.0.1:99999"} },
		`listen: 0.0.0.0:1 is not a loopback address, and others could read the secret on the way: use 127.0.0.1 or a unix socket, give tls_cert and tls_key, or say allow_remote`: func(c *Config) { c.Listen = []string{"0.0.0.0:1"} },
		`tls_cert and tls_key must be given together`:                  func(c *Config) { c.TLSKey = "key" },
		`max_connections: 0 is less than 1`:                            func(c *Config) { c.MaxConnections = 0 },
		`write_stall and stop_timeout must be more than 0`:             func(c *Config) { c.WriteStall = 0 },
		`state: no directory is given, and there is no home directory`: func(c *Config) { c.State = "" },
	} {
		c := DefaultConfig()
		change(c)
		if err := c.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	must(t, DefaultConfig().Check())
}

// TestEmptySettingsAreTheDefaults has them as the plugin has them.
func TestEmptySettingsAreTheDefaults(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.SystemRoots, c.RotateOn, c.RegistryV1 = "", nil, ""
	must(t, c.Check())
}

func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../gateway.toml.example")
	must(f, err)
	f.Add(string(example))
	f.Add("listen = 'x'\n[a]\nb = {c = 1}")
	f.Fuzz(func(t *testing.T, text string) {
		if err := settings.Parse("f", []byte(text), DefaultConfig()); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q: %v names no file", text, err)
		}
	})
}
