package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onNode runs certsd cri --install with a node's root.
func onNode(t *testing.T, node string, args ...string) (code int, said string) {
	t.Helper()
	var errs bytes.Buffer
	code = run(t.Context(), append([]string{"certsd", "cri", "--install", node}, args...), io.Discard, &errs)
	return code, errs.String()
}

// filesOf are the files below a directory, with modes, links and what is in text.
func filesOf(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if target, err := os.Readlink(path); err == nil {
			text += " -> " + target
		}
		if !strings.Contains(path, "/bin/") && info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		all[strings.TrimPrefix(path, root)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestInstallOfImageService(t *testing.T) {
	node := t.TempDir()
	settings := filepath.Join(t.TempDir(), "cri.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("registries = \"all\"\n")
	code, said := onNode(t, node, "--config", settings)
	if code != 0 || !strings.Contains(said, "wrote /opt/certsd/bin/certsd") || !strings.Contains(said, "systemctl daemon-reload") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	files := filesOf(t, node)
	for path, want := range map[string]string{
		"/opt/certsd/bin":        "drwxr-xr-x",
		"/opt/certsd/bin/certsd": "-rwxr-xr-x",
		"/etc/certsd/cri.toml":   "-rw-r--r-- " + installedBy + "registries = \"all\"\n",
		"/etc/systemd/system/sockets.target.wants/certsd-cri.socket":     "Lrwxrwxrwx -> /etc/systemd/system/certsd-cri.socket",
		"/etc/systemd/system/multi-user.target.wants/certsd-cri.service": "Lrwxrwxrwx -> /etc/systemd/system/certsd-cri.service",
	} {
		if files[path] != want {
			t.Errorf("%s is %q, want %q", path, files[path], want)
		}
	}
	service := files["/etc/systemd/system/certsd-cri.service"]
	if want := "\nExecStart=/opt/certsd/bin/certsd cri --config /etc/certsd/cri.toml\n"; strings.Count(service, want) != 1 || strings.Contains(service, "/usr/local") {
		t.Errorf("the unit is\n%s", service)
	}

	// What is there is left, what is another or missing is written.
	if code, said := onNode(t, node, "--config", settings); code != 0 || said != "" {
		t.Errorf("again: exit code %d: %s", code, said)
	}
	write("registries = \"configured\"\n")
	if err := os.Remove(filepath.Join(node, "etc/systemd/system/certsd-cri.socket")); err != nil {
		t.Fatal(err)
	}
	code, said = onNode(t, node, "--config", settings)
	if code != 0 || strings.Count(said, ": wrote ") != 2 || !strings.Contains(filesOf(t, node)["/etc/certsd/cri.toml"], "configured") {
		t.Errorf("others: exit code %d: %s", code, said)
	}
}

// TestInstallIsRefused has what must not be written over, and what would not be installed.
func TestInstallIsRefused(t *testing.T) {
	for _, path := range []string{"etc/certsd/cri.toml", "etc/systemd/system/certsd-cri.service", "etc/systemd/system/certsd-cri.socket"} {
		node := t.TempDir()
		file := filepath.Join(node, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("theirs\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := filesOf(t, node)
		code, said := onNode(t, node)
		if code != exitUsage || !strings.Contains(said, "/"+path+" exists, and certsd cri did not install it") {
			t.Errorf("%s: exit code %d: %s", path, code, said)
		}
		if diff := cmp.Diff(before, filesOf(t, node)); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
	for want, args := range map[string][]string{
		"--registries is not installed: put it into the file of --config": {"--registries", "all"},
		"registries":              {"--config", badSettings(t)},
		"is not an absolute path": {"--install", "node"},
		"--keep needs --install":  {"--install", "", "--keep"},
	} {
		node := t.TempDir()
		if code, said := onNode(t, node, args...); code != exitUsage || !strings.Contains(said, want) || len(filesOf(t, node)) != 1 {
			t.Errorf("%q: exit code %d: %s", args, code, said)
		}
	}
}

func badSettings(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cri.toml")
	if err := os.WriteFile(file, []byte("registries = \"some\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestInstallKeeps ends when it is interrupted, and not before.
func TestInstallKeeps(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"certsd", "cri", "--install", t.TempDir(), "--keep"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
