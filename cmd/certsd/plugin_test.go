package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/imageservice"
)

func TestShims(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for pid, program := range map[string]string{
		"1":   "/usr/lib/systemd/systemd",
		"7":   "/usr/lib/containerd-certsd/2.3/containerd",
		"10":  "/usr/lib/containerd-certsd/2.3/containerd-shim-runc-v2",
		"11":  "/usr/lib/containerd-certsd/2.3/containerd-shim-runc-v2 (deleted)",
		"12":  "/usr/lib/containerd-certsd/2.4/containerd-shim-runc-v2",
		"13":  "/usr/bin/containerd-shim-runc-v2",
		"cpu": "/usr/lib/containerd-certsd/2.3/containerd-shim-runc-v2",
	} {
		if err := os.Mkdir(filepath.Join(proc, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(program, filepath.Join(proc, pid, "exe")); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]int{"2.3": 2, "2.4": 1, "2.2": 0, "": 3} {
		if n := shims(proc, line); n != want {
			t.Errorf("%q: %d shims, want %d", line, n, want)
		}
	}
}

// TestSocket has the three places where a containerd may say where it serves.
func TestSocket(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     imageservice.DefaultContainerd,
		"[grpc]\naddress = '/run/node.sock'\n": "/run/node.sock",
		"[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/plugin.sock'\n":                                     "/run/plugin.sock",
		"[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/plugin.sock'\n[grpc]\naddress = '/run/node.sock'\n": "/run/plugin.sock",
	} {
		var d configDump
		if err := toml.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		if got := d.socket(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
