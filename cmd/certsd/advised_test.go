package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/check"
)

// words are those of a command line as a shell splits it, with | for a space
// inside of one.
func words(line string) []string {
	all := strings.Fields(line)
	for i, word := range all {
		all[i] = strings.ReplaceAll(word, "|", " ")
	}
	return all
}

// composed is a command of ours in what check says to do: up to the end, or to
// what goes on behind a semicolon.
var composed = regexp.MustCompile(`\bcertsd (check|migrate|pull|copy|gateway|cri|status) ([^;]*)`)

// Each command of ours that check composes can be typed as it is printed, also
// where there are spaces in names, and is about what was checked.
func TestComposedCommands(t *testing.T) {
	t.Parallel()
	wants := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = w.Write([]byte(`{"token":"for-one-repository"}`))
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(wants.Close)
	page := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("welcome")) }))
	t.Cleanup(page.Close)
	dir := filepath.Join(t.TempDir(), "it's a place")
	root, config, daemon := filepath.Join(dir, "certs.d"), filepath.Join(dir, "config.toml"), filepath.Join(dir, "daemon.json")
	host := strings.TrimPrefix(wants.URL, "https://")
	for file, text := range map[string]string{
		filepath.Join(root, host, "hosts.toml"):                                     "skip_verify = true\n",
		filepath.Join(root, strings.TrimPrefix(page.URL, "https://"), "hosts.toml"): "skip_verify = true\n",
		config: "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/other place/certs.d'\n" +
			"[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'docker.io']\nendpoint = ['https://mirror.test']\n",
		daemon: `{"registry-mirrors": ["https://mirror.test"]}`,
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--root", root, "--config", config, "--docker-config", daemon, "--json"}
	told := map[string]bool{}
	for _, target := range []string{host, strings.TrimPrefix(page.URL, "https://"), "docker.io"} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"certsd", "check"}, flags...)
		if target == "docker.io" {
			args = append(args, "--offline")
		}
		run(t.Context(), append(args, target), &stdout, &stderr)
		var report check.Report
		if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
			t.Fatalf("%v: %s%s", err, &stdout, &stderr)
		}
		findings := report.Findings
		for _, r := range report.Registries {
			findings = append(findings, r.Findings...)
		}
		for _, f := range findings {
			m := composed.FindString(f.Next)
			if m == "" {
				continue
			}
			told[string(f.Code)] = true
			out, err := exec.CommandContext(t.Context(), "sh", "-c", `for word in `+strings.TrimPrefix(m, "certsd ")+`; do echo "$word"; done`).Output()
			if err != nil {
				t.Errorf("%s: %q: %v", f.Code, m, err)
				continue
			}
			line := append([]string{"certsd"}, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")...)
			if err := parsed(t.Context(), line); err != nil {
				t.Errorf("%s: %q: %v", f.Code, m, err)
			}
			if again := strings.Contains(m, "/REPOSITORY"); again && !strings.Contains(string(out), "--root\n"+root+"\n--config\n"+config+"\n") {
				t.Errorf("%s: %q is not about the same directories", f.Code, m)
			}
		}
	}
	for _, code := range []check.Code{check.CredentialsUnknown, check.NoRegistry, check.OtherRoots, check.DeprecatedKeys, check.CRIDoesNotStart, check.DockerMirror} {
		if !told[string(code)] {
			t.Errorf("no command is composed for %s: %v", code, told)
		}
	}
}
