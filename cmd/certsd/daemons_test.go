package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/log"
)

// awaited is what a daemon writes, and closes seen once it has written a text.
type awaited struct {
	text string
	seen chan struct{}

	mu   sync.Mutex // guards the rest
	all  bytes.Buffer
	once sync.Once
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all.Write(p)
	if strings.Contains(a.all.String(), a.text) {
		a.once.Do(func() { close(a.seen) })
	}
	return len(p), nil
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.String()
}

// TestDaemons are started as systemd starts them, say on standard error where they
// listen, answer certsd status, and end with code 0 where they are told to.
func TestDaemons(t *testing.T) {
	for name, tt := range map[string]struct {
		// file is its configuration, args what goes before it, asks how status finds it.
		file, daemon string
		args, asks   func(dir string) []string
	}{
		"gateway": {
			file: "listen = ['127.0.0.1:0']\nlog_level = 'error'\n", daemon: `"gateway"`,
			args: func(dir string) []string { return []string{"--state", dir, "--docker-config", dir + "/config.json"} },
			asks: func(dir string) []string { return []string{"--state", dir, "--cri", dir + "/none"} },
		},
		"cri": {
			file: "listen = 'unix:/run/certsd/none.sock'\nlog_level = 'error'\n", daemon: `"cri"`,
			args: func(dir string) []string {
				return []string{"--listen", "unix:" + dir + "/cri.sock", "--containerd", dir + "/none"}
			},
			asks: func(dir string) []string { return []string{"--cri", dir + "/cri.sock", "--state", dir + "/none"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, root := t.TempDir(), t.TempDir()
			file := filepath.Join(dir, "certsd.toml")
			for path, text := range map[string]string{file: tt.file, filepath.Join(dir, "config.json"): "{}\n"} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.MkdirAll(filepath.Join(root, "registry.test"), 0o755); err != nil {
				t.Fatal(err)
			}
			level, output := log.GetLevel(), log.L.Logger.Out
			defer func() { // they are of the process
				_ = log.SetLevel(level.String())
				log.L.Logger.SetOutput(output)
			}()
			t.Chdir(filepath.Dir(root))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			errs := &awaited{text: "certsd " + name + ": listening", seen: make(chan struct{})}
			args := append([]string{"certsd", name, "--config", file, "--log-level", "info", "--root", filepath.Base(root)}, tt.args(dir)...)
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, args, io.Discard, errs) }()
			select {
			case <-errs.seen:
			case code := <-ended:
				t.Fatalf("exit code %d: %s", code, errs)
			}
			var out, said bytes.Buffer
			run(t.Context(), append([]string{"certsd", "status", "--json", "--containerd", dir + "/none"}, tt.asks(dir)...), &out, &said)
			for _, want := range []string{tt.daemon, `"` + root + `"`} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("status does not say %s: %s%s", want, &out, &said)
				}
			}
			cancel()
			if code := <-ended; code != exitDone {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
}

func TestImageServiceMistakesAreExitCode2(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cri.toml")
	if err := os.WriteFile(file, []byte("listn = 'unix:/x'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		file + `:1: listn: unknown key; did you mean "listen"?`:     {"--config", file},
		`cri takes no arguments, not "surplus"`:                     {"surplus"},
		`--stop-timeout: "soon" is not a duration such as`:          {"--stop-timeout", "soon"},
		`root: ":" does not name a directory`:                       {"--root", ":"},
		`listen: "127.0.0.1:0" is not unix:PATH`:                    {"--listen", "127.0.0.1:0"},
		`log_level: "loud" `:                                        {"--log-level", "loud"},
		"containerd_config: ":                                       {"--containerd-config", "/none"},
		`registries: "some" is neither "configured" nor "all"`:      {"--registries", "some"},
		"containerd: /run/certsd/cri.sock is the address in listen": {"--containerd", "/run/certsd/cri.sock"},
	} {
		var errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd", "cri"}, args...), io.Discard, &errs)
		if code != exitUsage || !strings.HasPrefix(errs.String(), "certsd: "+want) || !strings.HasSuffix(errs.String(), "Run 'certsd help' for the commands and their flags.\n") {
			t.Errorf("%v: exit code %d: %s", args, code, &errs)
		}
	}
}
