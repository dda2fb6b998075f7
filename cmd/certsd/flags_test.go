package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A warning about a root is about no registry, and names none.
func TestWarningAboutARoot(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	file := filepath.Join(t.TempDir(), "certs.d")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	run(t.Context(), []string{"certsd", "pull", "--root", file, "-o", filepath.Join(t.TempDir(), "o"), "127.0.0.1:1/app:1"}, &stdout, &stderr)
	if text := stderr.String(); !strings.Contains(text, "warning: "+file) {
		t.Errorf("it says %s", text)
	}
}
