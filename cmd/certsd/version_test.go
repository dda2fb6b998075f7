package main

import (
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
