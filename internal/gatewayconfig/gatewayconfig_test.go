package gatewayconfig

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain is the gateway as it starts if nobody says otherwise.
var plain = Gateway{
	URL:       "http://127.0.0.1:5999",
	Secret:    "s3cret",
	Upstreams: []string{"registry.example:5000", "docker.io", "registry.example:5000"},
}

// shared is one for other machines, which lets everybody in.
var shared = Gateway{
	URL:       "https://gateway.example",
	CA:        "/etc/certsd/ca.crt",
	Upstreams: []string{"registry.example"},
}

func TestFiles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		files func() ([]File, error)
		want  []File
	}{
		{"containerd", plain.Hosts, []File{
			{"docker.io/hosts.toml", hostsTOML, true},
			{"registry.example:5000/hosts.toml", hostsTOML, true},
		}},
		{"containerd and a shared gateway", shared.Hosts, []File{{"registry.example/hosts.toml", `# Written by certsd gateway --print-hosts.
server = "https://gateway.example"
capabilities = ["pull", "resolve"]
ca = "/etc/certsd/ca.crt"

[host]
`, true}}},
		{"BuildKit", plain.BuildKit, []File{
			{"buildkitd.toml", `# Written by certsd gateway --print-buildkit.
[registry."docker.io"]
  mirrors = ["127.0.0.1:5999"]

[registry."registry.example:5000"]
  mirrors = ["127.0.0.1:5999"]

[registry."127.0.0.1:5999"]
  http = true
`, false},
			{"config.json", credentials, true},
		}},
		{"BuildKit and a shared gateway", shared.BuildKit, []File{{"buildkitd.toml", `# Written by certsd gateway --print-buildkit.
[registry."registry.example"]
  mirrors = ["gateway.example"]

[registry."gateway.example"]
  http = false
  ca = ["/etc/certsd/ca.crt"]
`, false}}},
		{"Podman", plain.RegistriesConf, []File{
			{"certsd.conf", `# Written by certsd gateway --print-registries-conf.
[[registry]]
prefix = "docker.io"
location = "127.0.0.1:5999/docker.io"
insecure = true

[[registry]]
prefix = "registry.example:5000"
location = "127.0.0.1:5999/registry.example_5000"
insecure = true
`, false},
			{"auth.json", credentials, true},
		}},
		{"Podman and an IPv6 address", Gateway{URL: plain.URL, Upstreams: []string{"[::1]:5000", "a.example"}}.RegistriesConf, []File{{"certsd.conf", `# Written by certsd gateway --print-registries-conf.
# [::1]:5000 cannot be part of a path.

[[registry]]
prefix = "a.example"
location = "127.0.0.1:5999/a.example"
insecure = true
`, false}}},
		{"Podman and names without a dot", Gateway{URL: plain.URL, Upstreams: []string{"localhost", "registry"}}.RegistriesConf, []File{{"certsd.conf", `# Written by certsd gateway --print-registries-conf.
[[registry]]
prefix = "localhost"
location = "127.0.0.1:5999/localhost"
insecure = true

[[registry]]
prefix = "registry"
location = "127.0.0.1:5999/registry_443"
insecure = true
`, false}}},
		{"Podman and a shared gateway", shared.RegistriesConf, []File{{"certsd.conf", `# Written by certsd gateway --print-registries-conf.
[[registry]]
prefix = "registry.example"
location = "gateway.example/registry.example"
`, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.files()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

const hostsTOML = `# Written by certsd gateway --print-hosts.
server = "http://127.0.0.1:5999"
capabilities = ["pull", "resolve"]

[header]
  X-Certsd-Token = ["s3cret"]

[host]
`

// The word is certsd:s3cret.
const credentials = `{
  "auths": {
    "127.0.0.1:5999": {
      "auth": "Y2VydHNkOnMzY3JldA=="
    }
  }
}
`

// TestContainerdAsksNobodyElse reads the tree with stock containerd's code and
// with ours.
func TestContainerdAsksNobodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := plain.Hosts()
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
	type endpoint struct {
		scheme, host, path string
		capabilities       docker.HostCapabilities
		token              string
	}
	want := []endpoint{{"http", "127.0.0.1:5999", "/v2", docker.HostCapabilityPull | docker.HostCapabilityResolve, "s3cret"}}
	for _, name := range []string{"docker.io", "registry.example:5000"} {
		hosts, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(dir)})(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []endpoint
		for _, h := range hosts {
			got = append(got, endpoint{h.Scheme, h.Host, h.Path, h.Capabilities, h.Header.Get(TokenHeader)})
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(endpoint{})); diff != "" {
			t.Errorf("%s with stock containerd (-want +got):\n%s", name, diff)
		}
		if _, err := (&certsd.Hosts{Roots: certsd.Roots{dir}}).Lookup(name); err != nil {
			t.Errorf("%s with certsd: %v", name, err)
		}
	}
	if dirs, err := filepath.Glob(dir + "/*"); err != nil || len(dirs) != 2 {
		t.Errorf("%v, %v: want a directory for each upstream", dirs, err)
	}
}

func TestWrongGateway(t *testing.T) {
	t.Parallel()
	with := func(change func(*Gateway)) Gateway {
		g := plain
		change(&g)
		return g
	}
	for _, test := range []struct {
		gateway Gateway
		want    string
	}{
		{
			with(func(g *Gateway) { g.URL = "unix:///run/certsd.sock" }),
			`clients need the gateway as http://HOST:PORT or https://HOST:PORT, not "unix:///run/certsd.sock"`,
		},
		{
			with(func(g *Gateway) { g.URL = "http://127.0.0.1:5999/v2" }),
			`clients need the gateway as http://HOST:PORT or https://HOST:PORT, not "http://127.0.0.1:5999/v2"`,
		},
		{
			with(func(g *Gateway) { g.URL = "http://a@127.0.0.1" }),
			`clients need the gateway as http://HOST:PORT or https://HOST:PORT, not "http://a@127.0.0.1"`,
		},
		{with(func(g *Gateway) { g.URL = "http://..:5999" }), `address of the gateway: host "..:5999": contains ".."`},
		{with(func(g *Gateway) { g.Secret = "two\nlines" }), "the gateway's secret has a character that clients cannot send"},
		{with(func(g *Gateway) { g.Upstreams = nil }), "the gateway serves no registry: create a directory named after one"},
		{with(func(g *Gateway) { g.Upstreams = []string{"Registry.example"} }), `registry "Registry.example": write "registry.example"`},
		{with(func(g *Gateway) { g.Upstreams = []string{"../etc"} }), `host "../etc": contains ".."`},
	} {
		for kind, files := range map[string]func() ([]File, error){
			"hosts": test.gateway.Hosts, "buildkit": test.gateway.BuildKit, "registries": test.gateway.RegistriesConf,
		} {
			if got, err := files(); err == nil || err.Error() != test.want || got != nil {
				t.Errorf("%s: error %v, want %s", kind, err, test.want)
			}
		}
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Print(&b, []File{{Path: "one", Text: "1\n"}, {Path: "two", Text: "2\n"}}); err != nil {
		t.Fatal(err)
	}
	if want := "# --- one\n1\n\n# --- two\n2\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}
