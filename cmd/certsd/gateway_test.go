package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/gateway"
)

func TestGatewayMistakesAreExitCode2(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gateway.toml")
	if err := os.WriteFile(file, []byte("listn = ['127.0.0.1:0']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		file + `:1: listn: unknown key; did you mean "listen"?`:                 {"--config", file},
		"gateway takes no arguments, not \"surplus\"":                           {"surplus"},
		`--store-size: "much" is not a size such as "512MiB" or "20GiB"`:        {"--store-size", "much"},
		"tls_cert: open /none: no such file or directory":                       {"--tls-cert", "/none", "--tls-key", "/none"},
		`root: ":" does not name a directory`:                                   {"--root", ":"},
		`listen: "foo" is neither host:port nor unix:PATH`:                      {"--listen", "foo"},
		"max_connections: 0 is less than 1":                                     {"--max-connections", "0"},
		`registry_v1: "maybe" is not one of "never", "configured" and "always"`: {"--registry-v1", "maybe"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd", "gateway", "--state", t.TempDir()}, args...), &out, &errs)
		if code != exitUsage || !strings.HasPrefix(errs.String(), "certsd: "+want+"\n") {
			t.Errorf("%v: exit code %d: %s", args, code, &errs)
		}
	}
}

func TestGatewayListensToOthersOnlyWhenTold(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"certsd", "gateway", "--state", t.TempDir(), "--root", t.TempDir(), "--listen", "0.0.0.0:0"}, &out, &errs)
	if code != exitUsage || !strings.Contains(errs.String(), "0.0.0.0:0 is not a loopback address") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

// TestGatewayTakesADirectoryFromHere: relative as for other commands.
func TestGatewayTakesADirectoryFromHere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll(filepath.Join("certs.d", "reg.test"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	args := []string{"certsd", "gateway", "--root", "certs.d:/other", "--allow-any-local", "--print-hosts"}
	if code := run(t.Context(), args, &out, &errs); code != exitDone || !strings.Contains(out.String(), "reg.test") {
		t.Errorf("exit code %d: %s%s", code, &out, &errs)
	}
	if got, want := absolute("certs.d:/other"), filepath.Join(dir, "certs.d")+":/other"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestRotationTellsTheGraceOfTheOneThatRuns: what this command was told of it, or
// was not, is not what counts.
func TestRotationTellsTheGraceOfTheOneThatRuns(t *testing.T) {
	t.Parallel()
	config := gateway.DefaultConfig()
	config.Root, config.State, config.Listen = t.TempDir(), t.TempDir(), []string{"127.0.0.1:0"}
	config.SecretGrace = gateway.Duration(5 * time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- config.Run(ctx, nil, func([]net.Addr) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	for _, want := range []string{"is still accepted for 5m0s:", "is still accepted for 1h0m0s:"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"certsd", "gateway", "--state", config.State, "--rotate-secret"}, &out, &errs)
		if code != exitDone || !strings.Contains(out.String(), want) {
			t.Errorf("exit code %d, %s%s, want %q", code, &out, &errs, want)
		}
		if ctx.Err() == nil {
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestGatewayRotatesItsSecret(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	secrets := map[string]bool{}
	for range 3 {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"certsd", "gateway", "--state", state, "--rotate-secret"}, &out, &errs); code != exitDone {
			t.Fatalf("exit code %d: %s", code, &errs)
		}
		want := "replaced " + filepath.Join(state, "secret") +
			"; the old one is still accepted for 1h0m0s: give the new one to the clients, as with certsd gateway --print-hosts\n"
		if out.String() != want {
			t.Errorf("said %q", &out)
		}
		for _, name := range []string{"secret", "secret.old"} {
			b, err := os.ReadFile(filepath.Join(state, name))
			if err != nil {
				t.Fatal(err)
			}
			secrets[string(b)] = true
		}
	}
	if len(secrets) != 4 {
		t.Errorf("%d secrets", len(secrets))
	}
}
