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
	for _, name := range []string{"containerd", "ctr", "containerd-shim-runc-v2", "certsd", "certsd-pkcs11"} {
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

// TestClientsAreBuiltWhereTheyAreUsed: for root, where all servers are installed.
// What is missing is said before anything is built, with what installs it.
func TestClientsAreBuiltWhereTheyAreUsed(t *testing.T) {
	t.Parallel()
	const (
		install = "the scenarios are skipped until somebody runs: apt-get install -y --no-install-recommends nowhere-package other-package"
		root    = "the scenarios are skipped: they need root"
	)
	for _, row := range []struct {
		name, uid, packages string
		clients             bool
		said                string
	}{
		{"all is there", "0", "# a comment\n\nshell sh\nlibrary\n", true, ""},
		{"servers are missing", "0", "nowhere-package nowhere-program\nshell sh\nlibrary\nother-package other-program\n", false, install},
		{"an ordinary user", "1000", "shell sh\n", false, root},
		{"an ordinary user without servers", "1000", "nowhere-package nowhere-program\n", false, root},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program(t, filepath.Join(dir, "path", "id"), "echo "+row.uid)
			packages := filepath.Join(dir, "packages")
			if err := os.WriteFile(packages, []byte(row.packages), 0o600); err != nil {
				t.Fatal(err)
			}
			env := []string{"PATH=" + filepath.Join(dir, "path") + ":" + os.Getenv("PATH"), "CI="}
			out, err := made(t, t.TempDir(), env, "-n", "integration", "PACKAGES="+packages)
			for _, built := range []string{"github.com/moby/buildkit", "build CONTAINERD=2.2"} {
				if err != nil || strings.Contains(out, built) != row.clients {
					t.Errorf("%s: %v\n%s", built, err, out)
				}
			}
			if out, err := made(t, t.TempDir(), env, "-n", "lines", "PACKAGES="+packages); err != nil || strings.Contains(out, "build CONTAINERD=2.3") != row.clients {
				t.Errorf("other lines: %v\n%s", err, out)
			}
			said, err := made(t, t.TempDir(), env, "-s", "--no-print-directory", "missing", "PACKAGES="+packages)
			if err != nil || strings.TrimSpace(said) != row.said {
				t.Errorf("%v, said %q, want %q", err, said, row.said)
			}
			// Not all of it can be asked for without being done.
			out, _ = made(t, t.TempDir(), env, "-n", "-k", "test", "PACKAGES="+packages)
			if first := strings.Index(out, "the scenarios are skipped"); first < 0 || first > strings.Index(out, "no-go test") {
				t.Errorf("it is not said first:\n%s", out)
			}
			env[1] = "CI=true"
			if out, err := made(t, t.TempDir(), env, "missing", "PACKAGES="+packages); (err == nil) == (row.said == install) {
				t.Errorf("where nothing may be skipped: %v\n%s", err, out)
			}
		})
	}
}
