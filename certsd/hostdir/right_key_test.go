package hostdir_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestKeysOfOthers: keys that are beside the wrong certificate, or have the wrong
// name, are where the printed command puts them.
func TestKeysOfOthers(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("clients")
	a, b := ca.Client("a"), ca.Client("b")
	for name, files := range map[string]map[string][]byte{
		"each beside the other":    {"a.cert": a.CertPEM, "a.key": b.KeyPEM, "b.cert": b.CertPEM, "b.key": a.KeyPEM},
		"one that is nobody's":     {"a.cert": a.CertPEM, "a.key": b.KeyPEM, "new.key": a.KeyPEM},
		"one that another has":     {"a.cert": a.CertPEM, "a.key": b.KeyPEM, "same.cert": a.CertPEM, "same.key": a.KeyPEM},
		"a name with a space":      {"a b.cert": a.CertPEM, "a b.key": b.KeyPEM, "it's.key": a.KeyPEM},
		"none of this certificate": {"a.cert": a.CertPEM, "a.key": b.KeyPEM, "b.cert": b.CertPEM, "b.key": b.KeyPEM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			loaded, _ := hostdir.Load(os.DirFS(dir), hostdir.LoadOptions{Path: dir})
			next := ""
			for _, p := range loaded.Problems {
				if p.Code == hostdir.KeyMismatch {
					next = p.Next()
					break
				}
			}
			_, command, found := strings.Cut(next, ": ")
			if strings.HasPrefix(name, "none") {
				if next != "copy the certificate and the key again, both from the same pair" {
					t.Errorf("the next step is %q", next)
				}
				return
			}
			if !found {
				t.Fatalf("no command in %q of %v", next, loaded.Problems)
			}
			if out, err := exec.CommandContext(t.Context(), "sh", "-ec", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			loaded, err := hostdir.Load(os.DirFS(dir), hostdir.LoadOptions{Path: dir})
			if err != nil || len(loaded.Identities) != strings.Count(strings.Join(names(files), " "), ".cert") {
				t.Errorf("after %s: %v, %d usable pairs", command, err, len(loaded.Identities))
			}
		})
	}
}

func names(files map[string][]byte) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	return names
}
