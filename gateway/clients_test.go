package gateway

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/gatewayconfig"
)

// printable is a configuration with two directories of registries and a secret.
func printable(t *testing.T) *Config {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"certs.d/registry.example_5000_", "certs.d/b.example", "certs.d/_default", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "state", secretFile), []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Root, c.State = filepath.Join(dir, "certs.d"), filepath.Join(dir, "state")
	return c
}

func TestClients(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Config)
		url    string
		want   Clients
	}{
		{"as it comes", func(*Config) {}, "", Clients{
			URL: "http://127.0.0.1:5999", Secret: "0123456789abcdef", Upstreams: []string{"b.example", "registry.example:5000"},
		}},
		{"a registry without directory", func(c *Config) { c.Upstreams = []string{"A.example."} }, "", Clients{
			URL: "http://127.0.0.1:5999", Secret: "0123456789abcdef", Upstreams: []string{"a.example", "b.example", "registry.example:5000"},
		}},
		{"unix socket first", func(c *Config) { c.Listen = []string{"unix:/run/certsd.sock", "[::1]:80"} }, "", Clients{
			URL: "http://[::1]:80", Secret: "0123456789abcdef", Upstreams: []string{"b.example", "registry.example:5000"},
		}},
		{"with TLS", func(c *Config) { c.TLSCert, c.TLSKey, c.Listen = "a", "b", []string{"127.0.0.2:443"} }, "", Clients{
			URL: "https://127.0.0.2:443", Secret: "0123456789abcdef", Upstreams: []string{"b.example", "registry.example:5000"},
		}},
		{"everybody let in, at another name", func(c *Config) { c.AllowAnyLocal, c.State = true, "" }, "https://gateway.example", Clients{
			URL: "https://gateway.example", Upstreams: []string{"b.example", "registry.example:5000"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := printable(t)
			test.change(c)
			got, err := c.Clients(test.url)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientsCannotBeTold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   func(*Config) string
	}{
		{
			"never started", func(c *Config) { c.State += "/none" },
			func(c *Config) string {
				return c.State + " has no secret yet: start the gateway first, or name its directory with --state"
			},
		},
		{
			"unix sockets alone", func(c *Config) { c.Listen = []string{"unix:/run/certsd.sock"} },
			func(c *Config) string {
				return "clients cannot reach a gateway at unix:/run/certsd.sock: give its address with --client-url" + none(c)
			},
		},
		{
			"all addresses", func(c *Config) { c.Listen = []string{"0.0.0.0:5999"} },
			func(c *Config) string {
				return "the gateway listens on all addresses (0.0.0.0:5999): give the one that clients use with --client-url" + none(c)
			},
		},
		{
			"all addresses of IPv6", func(c *Config) { c.Listen = []string{"unix:/run/s", "[::]:5999"} },
			func(c *Config) string {
				return "the gateway listens on all addresses ([::]:5999): give the one that clients use with --client-url" + none(c)
			},
		},
		{
			"a port alone", func(c *Config) { c.Listen = []string{":5999"} },
			func(c *Config) string {
				return "the gateway listens on all addresses (:5999): give the one that clients use with --client-url" + none(c)
			},
		},
		{
			"no registry", func(c *Config) { c.Upstreams = []string{"a/b"} },
			func(*Config) string {
				return `upstreams: host "a/b": contains "/": give the host only, without scheme and path`
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := printable(t)
			test.change(c)
			if _, err := c.Clients(""); err == nil || err.Error() != test.want(c) {
				t.Errorf("error %v, want %s", err, test.want(c))
			}
		})
	}
}

// none is what is said where no gateway runs.
func none(c *Config) string {
	return ", or start the gateway first: none runs with the state directory " + c.State
}

func TestReads(t *testing.T) {
	t.Parallel()
	c := printable(t)
	outside := t.TempDir()
	link := filepath.Join(outside, "link")
	if err := os.Symlink(c.Root, link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{
		c.Root:                 true,
		c.Root + "/new/deeper": true,
		link:                   true,
		link + "/new":          true,
		filepath.Join(c.Root, "..", "certs.d", "x"):  true,
		filepath.Join(c.Root, "..", "certs.d.other"): false,
		outside:          false,
		outside + "/new": false,
	} {
		if got := c.Reads(dir); got != want {
			t.Errorf("Reads(%s) = %t, want %t", dir, got, want)
		}
	}
}

// TestSameNames holds the two packages together.
func TestSameNames(t *testing.T) {
	t.Parallel()
	if tokenHeader != gatewayconfig.TokenHeader || basicUser != gatewayconfig.User {
		t.Errorf("the gateway knows %s and %s, clients are told %s and %s",
			tokenHeader, basicUser, gatewayconfig.TokenHeader, gatewayconfig.User)
	}
}
