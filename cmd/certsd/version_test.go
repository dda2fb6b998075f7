package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	if got, want := printed(t, "--version"), "certsd version "+builtFrom()+"\n"; got != want || builtFrom() == "" {
		t.Errorf("got %q, want %q", got, want)
	}
	head, _, _ := strings.Cut(printed(t, "man"), "\n")
	if !strings.Contains(head, "containerd\\-certsd "+builtFrom()) {
		t.Errorf("the manual page begins with %q", head)
	}
}

// TestMakeTellsTheVersion asks make what it would do: a daemon that was built
// without is as good as any other.
func TestMakeTellsTheVersion(t *testing.T) {
	t.Parallel()
	for version, revision := range map[string]string{"v9.8-7-gabc": "certsd-v9.8-7-gabc", "": "certsd"} {
		build := exec.CommandContext(t.Context(), tool(t, "make"), "-C", "../..", "-n", "bin/certsd", "bin/containerd", "VERSION="+version)
		out, err := build.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"-X main.version=" + version + "'", "/version.Revision=" + revision + "'"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("with VERSION=%s make does not pass %s:\n%s", version, want, out)
			}
		}
	}
}
