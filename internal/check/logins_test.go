package check

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
)

// TestWhichCredentialsCount has two files, that of whoever checks and that of
// containerd, for a registry and its mirror.
func TestWhichCredentialsCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("certs.d/registry.test/hosts.toml", "server = 'https://registry.test'\n[host.'https://mirror.test']\n", 0o644)
	own := put("own.json", `{"credHelpers":{"registry.test":"x"},"auths":{"registry.test":{"auth":"bWU6czNjcjN0"}}}`, 0o600)
	node := put("node.json", `{"auths":{"registry.test":{"auth":"bWU6czNjcjN0"},"registry.test/team":{"username":"me","password":"s3cr3t"},"registry.test/te":{"auth":"bWU6czNjcjN0"}}}`, 0o600)
	config := func(path string) string {
		return put("config.toml", "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer']\n[plugins.'io.containerd.internal.v1.certsd']\nconfig_path = '"+dir+"/certs.d'\ndocker_config = '"+path+"'\n", 0o644)
	}
	lines := func(configFile, target string) string {
		t.Helper()
		c := &Checker{Roots: certsd.Roots{filepath.Join(dir, "certs.d")}, Offline: true, Config: configFile, Logins: &dockerconfig.File{Path: own}}
		r, err := c.Registry(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		report := &Report{Registries: []*Registry{r}, Findings: c.Containerd()}
		var text, whole, table bytes.Buffer
		if err := WriteLines(&text, report); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(&whole, report); err != nil {
			t.Fatal(err)
		}
		if err := WriteTable(&table, report, Table{Columns: 100}); err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{text.String(), whole.String(), table.String()} {
			if strings.Contains(shown, "s3cr3t") || strings.Contains(shown, "bWU6czNjcjN0") || !strings.Contains(shown, "docker-credential-x") {
				t.Errorf("it shows a secret, or not the helper:\n%s", shown)
			}
		}
		var some []string
		for line := range strings.Lines(strings.ReplaceAll(text.String(), dir, "DIR")) {
			if strings.HasPrefix(line, "credentials ") || strings.Contains(line, " credentials-file ") {
				some = append(some, line)
			}
		}
		return strings.Join(some, "")
	}
	for _, tt := range []struct{ about, got, want string }{
		{"the most specific key", lines(config(node), "registry.test/team/app"), `credentials registry.test https://mirror.test/v2: containerd, DIR/node.json, none
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
credentials registry.test https://registry.test/v2: containerd, DIR/node.json, entry registry.test/team
`},
		{"another repository", lines(config(node), "registry.test/other"), `credentials registry.test https://mirror.test/v2: containerd, DIR/node.json, none
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
credentials registry.test https://registry.test/v2: containerd, DIR/node.json, entry registry.test
`},
		{"no containerd", lines("", "registry.test"), `credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
`},
		{"a file that is not there", lines(config(dir+"/none.json"), "registry.test"), `warning - credentials-file DIR/none.json: docker_config names it, but it does not exist -> create it with docker login or podman login, or remove the key
credentials registry.test https://mirror.test/v2: containerd, DIR/none.json, none
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
credentials registry.test https://registry.test/v2: containerd, DIR/none.json, none
`},
		{"a broken file", lines(config(put("broken.json", `{"auths":{"registry.test":{"auth":"bWU6czNj`, 0o600)), "registry.test"), `warning - credentials-file DIR/broken.json: docker_config names it: DIR/broken.json:1: is not valid JSON -> correct it: containerd notices the change by itself
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
`},
		{"a file for all to see", lines(config(put("public.json", `{"auths":{"registry.test":{"auth":"bWU6czNjcjN0"}}}`, 0o644)), "registry.test"), `warning - credentials-file DIR/public.json: docker_config names it: DIR/public.json can be read by everybody on this machine, and has passwords or tokens: chmod 600 DIR/public.json -> correct it: containerd notices the change by itself
credentials registry.test https://mirror.test/v2: containerd, DIR/public.json, none
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
credentials registry.test https://registry.test/v2: containerd, DIR/public.json, entry registry.test
`},
		{"a relative path", lines(config("relative.json"), "registry.test"), `warning - credentials-file relative.json: docker_config: "relative.json" is not an absolute path: containerd does not start -> write an absolute path
credentials registry.test https://registry.test/v2: certsd, DIR/own.json, helper docker-credential-x
`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.about, tt.got, tt.want)
		}
	}
}
