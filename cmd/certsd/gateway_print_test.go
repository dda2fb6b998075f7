package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestGatewayPrints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "certs.d")
	state := filepath.Join(dir, "state")
	for _, d := range []string{filepath.Join(root, "registry.example"), state} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "secret"), []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	const hosts = `# Written by certsd gateway --print-hosts.
server = "http://127.0.0.1:5999"
capabilities = ["pull", "resolve"]

[header]
  X-Certsd-Token = ["0123456789abcdef"]

[host]
`
	guessed := "certsd: no gateway runs with the state directory " + state + ": http://127.0.0.1:5999 is where it is configured to listen\n"
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"to the terminal", []string{"--print-hosts"}, exitDone, "# --- registry.example/hosts.toml\n" + hosts, guessed},
		{"to a directory", []string{"--print-hosts", dir + "/hosts"}, exitDone, "", guessed},
		{
			"where the gateway looks itself",
			[]string{"--print-hosts", root},
			exitUsage, "",
			"certsd: " + root + " is searched by the gateway itself, which would then ask itself: " +
				"keep what the gateway reads in another directory and name that with --root\n" + nextStep,
		},
		{
			"two at a time",
			[]string{"--print-hosts", "--print-buildkit"},
			exitUsage, "",
			"certsd: one of --print-hosts, --print-buildkit and --print-registries-conf at a time\n" + nextStep,
		},
		{
			"two directories",
			[]string{"--print-buildkit", "a", "b"},
			exitUsage, "",
			"certsd: one directory to write to, not 2\n" + nextStep,
		},
		{"a shared one for containerd", []string{"--allow-any-local", "--client-url", "https://gateway.example", "--client-ca", "/etc/ca.crt", "--print-hosts"}, exitDone, `# --- registry.example/hosts.toml
# Written by certsd gateway --print-hosts.
server = "https://gateway.example"
capabilities = ["pull", "resolve"]
ca = "/etc/ca.crt"

[host]
`, ""},
		{"a shared one", []string{"--allow-any-local", "--client-url", "https://gateway.example", "--print-registries-conf"}, exitDone, `# --- certsd.conf
# Written by certsd gateway --print-registries-conf.
[[registry]]
prefix = "registry.example"
location = "gateway.example/registry.example"
`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append([]string{"certsd", "gateway", "--root", root, "--state", state}, test.args...)
			if code := run(t.Context(), args, &out, &errs); code != test.code || out.String() != test.stdout || errs.String() != test.stderr {
				t.Errorf("exit code %d, %q, %q\nwant %d, %q, %q", code, &out, &errs, test.code, test.stdout, test.stderr)
			}
		})
	}
	file := filepath.Join(dir, "hosts", "registry.example", "hosts.toml")
	written, err := os.ReadFile(file)
	if err != nil || string(written) != hosts {
		t.Errorf("%s: %q, %v", file, written, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
}

// What was written for a registry that is no longer served is named, and left.
func TestGatewayNamesLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"certs.d/registry.example/ca.txt": "",
		"hosts/gone.example/hosts.toml":   "# Written by certsd gateway --print-hosts.\n",
		"hosts/own.example/hosts.toml":    "server = 'https://own.example'\n",
		"hosts/empty.example/ca.crt":      "",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"certsd", "gateway", "--root", dir + "/certs.d", "--state", dir, "--allow-any-local", "--print-hosts", dir + "/hosts"}, &out, &errs)
	want := "certsd: no gateway runs with the state directory " + dir + ": http://127.0.0.1:5999 is where it is configured to listen\n" +
		"certsd: " + dir + "/hosts/gone.example/hosts.toml leads to the gateway, which does not serve that registry: remove it, or its pulls are refused\n"
	if code != exitDone || out.String() != "" || errs.String() != want {
		t.Errorf("exit code %d, %q, %q\nwant %q", code, &out, &errs, want)
	}
	for _, path := range []string{"gone.example/hosts.toml", "own.example/hosts.toml", "registry.example/hosts.toml"} {
		if _, err := os.Stat(filepath.Join(dir, "hosts", path)); err != nil {
			t.Error(err)
		}
	}
}

const nextStep = "Run 'certsd help' for the commands and their flags.\n"
