//go:build linux

package layout

import (
	"archive/zip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpdate moves a release line on in a small repository of its own, whose
// containerd is from a proxy of files.
func TestUpdate(t *testing.T) {
	t.Parallel()
	r := newMovable(t)
	r.release("v2.9.1", "1.25.0", "func Hook() {}")
	r.release("v2.9.2", "1.25.0", "func Hook() {}")
	r.release("v2.9.10", "1.25.1", "func Hook() {}")
	r.release("v2.9.11-rc.1", "1.25.2", "func Hook() {}")
	r.release("v2.10.0", "1.25.2", "func Hook() {}")

	out, code := r.update("2.9")
	if code != 0 || !strings.Contains(out, "containerd 2.9: v2.9.1 -> v2.9.10\n") || !strings.Contains(out, "\ncontainerd v2.9.10: nothing broke. Building it needs Go 1.25.1.\n") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	if m := mod(t, filepath.Join(r.dir, "cmd/containerd/2.9/go.mod")); m.Go != "1.25.1" || !contains(m, upstream, "v2.9.10") {
		t.Errorf("the line requires %+v", m)
	}
	if got, want := r.read("docs/containerd.md"), "| 2.9 LTS | 2.9.10 | many | 1.25.1 | nothing |\n| 2.90 | 2.90.1 | nobody | 1.25.0 | nothing |\n"; got != want {
		t.Errorf("the document has\n%s", got)
	}
	if got := r.read("made"); got != r.asked() {
		t.Errorf("make was asked for %q", got)
	}

	r.remove("made")
	r.leaves(0, "v2.9.10 is the newest", "2.9")
	r.leaves(1, "v2.9.99", "2.9", "v2.9.99")
	r.leaves(2, "containerd v2.10.0 is not of the line 2.9", "2.9", "v2.10.0")
	r.leaves(2, "usage: ", "2.8")
	r.leaves(2, "usage: ")

	// What nobody expects of a patch release.
	r.release("v2.9.12", "1.25.1", "func Bait() {}")
	r.write("make", "#!/bin/sh\necho no scenario passes\nexit 1\n")
	out, code = r.update("2.9")
	_, broke, _ := strings.Cut(out, "\ncontainerd v2.9.12 broke:\n")
	for _, want := range []string{"  libraries and plugin compile: ", "  build", "git checkout cmd/containerd/2.9 "} {
		if code != 1 || !strings.Contains(broke, want) {
			t.Errorf("exit code %d, and not said to have broken: %q\n%s", code, want, out)
		}
	}
	for _, not := range []string{"requirements", "layout"} {
		if strings.Contains(broke, not) {
			t.Errorf("said to have broken, too: %s\n%s", not, broke)
		}
	}
	if !strings.Contains(out, "undefined: containerd.Hook") {
		t.Errorf("nobody says what broke:\n%s", out)
	}
}

// movable is a repository with one release line.
type movable struct {
	testing.TB
	dir, proxy string
	env        []string
}

func newMovable(t *testing.T) *movable {
	t.Helper()
	dir := t.TempDir()
	r := &movable{TB: t, dir: filepath.Join(dir, "repository"), proxy: filepath.Join(dir, "proxy", upstream, "@v")}
	r.env = append(os.Environ(), "GO=go", "MAKE="+filepath.Join(r.dir, "make"), "GOPROXY=file://"+filepath.Join(dir, "proxy"), "GOSUMDB=off",
		"GOMODCACHE="+filepath.Join(dir, "cache"), "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOWORK=off", "GIT_CEILING_DIRECTORIES="+dir)
	script, err := os.ReadFile("../../cmd/containerd/update.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":                         "module " + strings.TrimSuffix(module, "/") + "\n\ngo 1.25.0\n\nrequire " + upstream + " v2.9.1\n",
		"cmd/certsd/main.go":             "package main\n\nfunc main() {}\n",
		"cmd/containerd/update.sh":       string(script),
		"cmd/containerd/2.9/go.mod":      "module " + module + "cmd/containerd/2.9\n\ngo 1.25.0\n\nrequire " + upstream + " v2.9.1\n",
		"cmd/containerd/2.9/main.go":     "package main\n\nimport _ \"" + module + "plugin\"\n\nfunc main() {}\n",
		"docs/containerd.md":             "| 2.9 LTS | 2.9.1 | many | 1.25.0 | nothing |\n| 2.90 | 2.90.1 | nobody | 1.25.0 | nothing |\n",
		"internal/layout/layout_test.go": "package layout\n\nimport \"testing\"\n\nfunc TestLines(*testing.T) {}\n",
		"make":                           "#!/bin/sh\necho \"$@\" >>" + r.dir + "/made\n",
		"plugin/plugin.go":               "package plugin\n\nimport containerd \"" + upstream + "\"\n\nvar _ = containerd.Hook\n",
	} {
		r.write(name, text)
	}
	return r
}

func (r *movable) write(name, text string) {
	r.Helper()
	file := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o755)); err != nil {
		r.Fatal(err)
	}
}

func (r *movable) read(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

func (r *movable) remove(name string) {
	r.Helper()
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

// release puts a containerd with this code into the proxy.
func (r *movable) release(version, language, code string) {
	r.Helper()
	if err := os.MkdirAll(r.proxy, 0o755); err != nil {
		r.Fatal(err)
	}
	at := filepath.Join(r.proxy, version)
	mod := "module " + upstream + "\n\ngo " + language + "\n"
	list, err := os.OpenFile(filepath.Join(r.proxy, "list"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = list.WriteString(version + "\n")
		err = errors.Join(err, list.Close())
	}
	if err := errors.Join(err, os.WriteFile(at+".info", []byte(`{"Version": "`+version+`"}`), 0o600), os.WriteFile(at+".mod", []byte(mod), 0o600)); err != nil {
		r.Fatal(err)
	}
	file, err := os.Create(at + ".zip")
	if err != nil {
		r.Fatal(err)
	}
	z := zip.NewWriter(file)
	for name, text := range map[string]string{
		"go.mod":                              mod,
		"containerd.go":                       "package containerd\n\n" + code + "\n",
		"cmd/ctr/main.go":                     "package main\n\nfunc main() {}\n",
		"cmd/containerd-shim-runc-v2/main.go": "package main\n\nfunc main() {}\n",
	} {
		w, err := z.Create(upstream + "@" + version + "/" + name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			r.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		r.Fatal(err)
	}
}

// update runs the script.
func (r *movable) update(args ...string) (out string, code int) {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), filepath.Join(r.dir, "cmd/containerd/update.sh"), args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	b, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		r.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// leaves runs the script where it has to say something and to change nothing.
func (r *movable) leaves(code int, says string, args ...string) {
	r.Helper()
	state := func() string {
		_, made := os.Stat(filepath.Join(r.dir, "made"))
		return r.read("cmd/containerd/2.9/go.mod") + r.read("docs/containerd.md") + made.Error()
	}
	before := state()
	out, got := r.update(args...)
	if got != code || !strings.Contains(out, says) {
		r.Errorf("update.sh %q ended with %d, and not by saying %q:\n%s", args, got, says, out)
	}
	if after := state(); after != before {
		r.Errorf("update.sh %q has left\n%s", args, after)
	}
}

// asked is what the script asks make for: scenarios need root.
func (r *movable) asked() string {
	if os.Getuid() == 0 {
		return "core-2.9\n"
	}
	return "build CONTAINERD=2.9\n"
}

func contains(m goMod, path, version string) bool {
	for _, r := range m.Require {
		if r.Path == path && r.Version == version {
			return true
		}
	}
	return false
}
