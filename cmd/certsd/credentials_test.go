package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDockerCredentials(t *testing.T) {
	for _, tt := range []struct{ name, config, host, user, secret string }{
		{name: "a login", config: `{"auths":{"reg.test:5000":{"auth":"bWU6c2VjcmV0"}}}`, host: "reg.test:5000", user: "me", secret: "secret"},
		{name: "a login at another port", config: `{"auths":{"reg.test:5000":{"auth":"bWU6c2VjcmV0"}}}`, host: "reg.test"},
		{name: "an identity token", config: `{"auths":{"reg.test":{"auth":"bWU6","identitytoken":"token"}}}`, host: "reg.test", secret: "token"},
		{name: "Docker Hub", config: `{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"}}}`, host: "registry-1.docker.io", user: "me", secret: "secret"},
		{name: "no file", host: "reg.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("DOCKER_CONFIG", dir)
			if tt.config != "" {
				if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			logins, err := dockerCredentials(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			user, secret, err := logins.Credentials(t.Context(), tt.host, "app")
			if user != tt.user || secret != tt.secret || err != nil {
				t.Errorf("got %q, %q, %v", user, secret, err)
			}
		})
	}
}

// TestCredentialHelper asks the program that config.json names for a host.
func TestCredentialHelper(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, text := range map[string]string{
		"config.json": `{"credHelpers":{"reg.test:5000":"fake"}}`,
		"docker-credential-fake": "#!/bin/sh\nread host\n" +
			`[ "$1 $host" = "get reg.test:5000" ] && echo '{"Username":"me","Secret":"secret"}'` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	logins, err := dockerCredentials(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	find := logins.For(t.Context(), "app")
	if user, secret, err := find("reg.test:5000"); user != "me" || secret != "secret" || err != nil {
		t.Errorf("got %q, %q, %v", user, secret, err)
	}
	if user, secret, err := find("other.test"); user != "" || secret != "" || err != nil {
		t.Errorf("another host got %q, %q, %v", user, secret, err)
	}
}

func TestBrokenDockerConfigIsNamed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	for text, want := range map[string]string{
		"\ufeff{}":      "config.json begins with a byte order mark, which Docker does not read either: remove it with sed -i ",
		"\xff\xfe{\x00": "config.json: is text in UTF-16, not in UTF-8: convert it with iconv ",
		`{"auths":`:     "config.json",
	} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dockerCredentials(io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if code := run(t.Context(), []string{"certsd", "pull", "127.0.0.1:1/app"}, io.Discard, io.Discard); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
