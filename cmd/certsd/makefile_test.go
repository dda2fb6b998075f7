package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// made is what make says in a directory with our Makefile alone, where there is
// no Go.
func made(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), tool(t, "make"), append([]string{"-C", dir, "-f", makefile, "GO=no-go"}, args...)...)
	build.Env = append(os.Environ(), env...)
	out, err := build.CombinedOutput()
	return string(out), err
}

// program writes a script.
func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestMakeTellsTheVersion asks make what it would do: a daemon that was built
// without is as good as any other.
func TestMakeTellsTheVersion(t *testing.T) {
	t.Parallel()
	for version, revision := range map[string]string{"v9.8-7-gabc": "certsd-v9.8-7-gabc", "": "certsd"} {
		out, err := made(t, t.TempDir(), nil, "-n", "bin/certsd", "bin/containerd", "VERSION="+version)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"-X main.version=" + version + "'", "/version.Revision=" + revision + "'"} {
			if !strings.Contains(out, want) {
				t.Errorf("with VERSION=%s make does not pass %s:\n%s", version, want, out)
			}
		}
	}
}

func TestInstallBuildsNothing(t *testing.T) {
	t.Parallel()
	dir, dest := t.TempDir(), t.TempDir()
	if out, err := made(t, dir, nil, "install", "DESTDIR="+dest); err == nil || !strings.Contains(out, "no bin/containerd: run make build first\n") {
		t.Errorf("without bin: %v\n%s", err, out)
	}
	for _, name := range []string{"containerd", "ctr", "containerd-shim-runc-v2", "certsd"} {
		program(t, filepath.Join(dir, "bin", name), "echo $*")
	}
	if out, err := made(t, dir, nil, "install", "DESTDIR="+dest); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"bin/ctr":                 "#!/bin/sh\necho $*\n",
		"share/man/man1/certsd.1": "man\n",
		"share/fish/vendor_completions.d/certsd.fish": "completion fish\n",
	} {
		if got, err := os.ReadFile(filepath.Join(dest, "usr/local", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestClientsAreBuiltForRootOnly(t *testing.T) {
	t.Parallel()
	for uid, want := range map[string]bool{"0": true, "1000": false} {
		path := t.TempDir()
		program(t, filepath.Join(path, "id"), "echo "+uid)
		out, err := made(t, t.TempDir(), []string{"PATH=" + path + ":" + os.Getenv("PATH")}, "-n", "integration")
		if err != nil || strings.Contains(out, "github.com/moby/buildkit") != want {
			t.Errorf("user %s: %v\n%s", uid, err, out)
		}
	}
}
