package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// registryOnThisMachine requires a user and a password, and repeats what it was given.
func registryOnThisMachine(t *testing.T, password string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			http.Error(w, "not with "+given+" "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestCheckExitCodes(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"broken", "fine"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "broken", "ca.crt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	ending := filepath.Join(root, "ending")
	if err := os.Mkdir(ending, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := certtest.NewCA("roots").Write(ending, "ca"); err != nil {
		t.Fatal(err)
	}
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	open := registryOnThisMachine(t, "")
	closed := registryOnThisMachine(t, "correct-horse")
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{open}, exitDone},
		{[]string{closed}, exitFailed},
		{[]string{"127.0.0.1:1"}, exitFailed},
		{[]string{"broken"}, exitUsage},
		{[]string{"--offline", "fine"}, exitDone},
		{[]string{"--offline", "--all"}, exitUsage},
		{[]string{}, exitUsage},
		{[]string{"a", "b"}, exitUsage},
		{[]string{"--all", "a"}, exitUsage},
		{[]string{"--push", "fine"}, exitUsage},
		{[]string{"--push", "--all"}, exitUsage},
		{[]string{"--push", "--offline", "fine/app"}, exitUsage},
		{[]string{"--push", open + "/app"}, exitFailed},
		{[]string{"a b"}, exitUsage},
		{[]string{"fine/app:"}, exitUsage},
		{[]string{"fine/APP"}, exitUsage},
		{[]string{"fine/app@sha256:12"}, exitUsage},
		{[]string{"--offline", "--expiring", "30d", "fine"}, exitDone},
		{[]string{"--offline", "--expiring", "30", "fine"}, exitUsage},
		{[]string{"--offline", "--expiring", "0d", "fine"}, exitUsage},
		{[]string{"--offline", "--expiring", "-1h", "fine"}, exitUsage},
		{[]string{"--offline", "--expiring", "30d", "ending"}, exitFailed},
		{[]string{"--offline", "--expiring", "1w", "ending"}, exitFailed},
		{[]string{"--offline", "--expiring", "5m", "ending"}, exitDone},
		{[]string{"--offline", "--system-roots", "none", "fine"}, exitUsage},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"certsd", "check", "--config", filepath.Join(root, "none.toml"), "--root", root}, tt.args...)
		if code := run(t.Context(), args, &out, &errs); code != tt.code {
			t.Errorf("%q: exit code %d, want %d: %s%s", tt.args, code, tt.code, &out, &errs)
		}
	}
}

func TestCheckUsesDockersCredentialsAndShowsNone(t *testing.T) {
	const password = "correct-horse-battery"
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	host := registryOnThisMachine(t, password)
	login := func(password string) {
		t.Helper()
		config := map[string]any{"auths": map[string]any{host: map[string]string{"username": "me", "password": password}}}
		data, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(docker, "config.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		given string
		code  int
	}{{password, exitDone}, {"wrong-and-secret", exitFailed}} {
		login(tt.given)
		for _, form := range [][]string{nil, {"--json"}} {
			var out, errs bytes.Buffer
			args := append([]string{"certsd", "--debug", "check", "--root", t.TempDir()}, form...)
			if code := run(t.Context(), append(args, host), &out, &errs); code != tt.code {
				t.Errorf("exit code %d, want %d: %s%s", code, tt.code, &out, &errs)
			}
			if !strings.Contains(errs.String(), "debug: attempt: GET ") {
				t.Errorf("--debug says nothing: %s", &errs)
			}
			all := out.String() + errs.String()
			for _, secret := range []string{tt.given, "Basic ", "bWU6"} {
				if strings.Contains(all, secret) {
					t.Errorf("%q is shown: %s", secret, all)
				}
			}
		}
	}
}

func TestInterruptedCheck(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, target := range []string{"127.0.0.1:1", "--all"} {
		var out, errs bytes.Buffer
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "127.0.0.1:1"), 0o750); err != nil {
			t.Fatal(err)
		}
		code := run(ctx, []string{"certsd", "check", "--root", root, target}, &out, &errs)
		if code != exitInterrupted || errs.String() != "certsd: interrupted\n" || out.Len() > 0 {
			t.Errorf("%s: exit code %d: %s%s", target, code, &out, &errs)
		}
	}
}
