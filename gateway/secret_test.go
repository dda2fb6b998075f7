package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestReplacedSecretOfTheFuture gives a replaced secret a time that is still to
// come: the grace period is that of its replacement, and over for a process that
// has not seen it.
func TestReplacedSecretOfTheFuture(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := ownSecret(dir)
	must(t, err)
	old, err := s.Value()
	must(t, err)
	s.matches(t.Context(), "")
	must(t, s.Rotate())
	future := time.Now().Add(1000 * time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, oldSecretFile), future, future))
	if !s.matches(t.Context(), old) {
		t.Error("who has seen the replacement does not count from it")
	}
	s.Grace = time.Nanosecond
	if s.matches(t.Context(), old) {
		t.Error("a replaced secret lives beyond its grace period")
	}
	later, err := ownSecret(dir)
	must(t, err)
	if later.matches(t.Context(), old) {
		t.Error("a replaced secret lives until the time of its file")
	}
}

// TestReplacedSecretLivesForItsGrace lets the time pass by that the process has
// seen.
func TestReplacedSecretLivesForItsGrace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // its time is long before that of the files
		s, err := ownSecret(dir)
		must(t, err)
		defer s.Close()
		old, err := s.Value()
		must(t, err)
		s.matches(t.Context(), "")
		must(t, s.Rotate())
		for _, counts := range []bool{true, true, false} {
			if s.matches(t.Context(), old) != counts {
				t.Errorf("counts: %t, want %t", !counts, counts)
			}
			time.Sleep(defaultSecretGrace - time.Second)
		}
	})
}

// TestForeignStateIsRefused looks at a state directory that another user has
// made, or has something in.
func TestForeignStateIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	const nobody = 65534
	for name, give := range map[string]func(t *testing.T, dir string) (path string){
		"the directory": func(t *testing.T, dir string) string {
			must(t, os.Chown(dir, nobody, nobody))
			return dir
		},
		"what is above it": func(t *testing.T, dir string) string {
			must(t, os.Chown(filepath.Dir(dir), nobody, nobody))
			return filepath.Dir(dir)
		},
		"a link to it": func(t *testing.T, dir string) string {
			must(t, os.Rename(dir, dir+".own"))
			must(t, os.Symlink(dir+".own", dir))
			must(t, os.Lchown(dir, nobody, nobody))
			return dir
		},
		"the secret": func(t *testing.T, dir string) string {
			path := filepath.Join(dir, secretFile)
			must(t, os.WriteFile(path, []byte("0123456789abcdef\n"), 0o600))
			must(t, os.Chown(path, nobody, nobody))
			return path
		},
		"labels": func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "labels", "sha256")
			must(t, os.MkdirAll(path, 0o700))
			must(t, os.Chown(path, nobody, nobody))
			return path
		},
		"a directory for everybody": func(t *testing.T, dir string) string {
			must(t, os.Chmod(dir, 0o777))
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "above", "state")
			must(t, os.MkdirAll(dir, 0o700))
			path := give(t, dir)
			c := DefaultConfig()
			c.State, c.Root, c.Listen = dir, t.TempDir(), []string{"127.0.0.1:0"}
			// One that serves after all ends at once.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := c.Run(ctx, nil, nil)
			var foreign *safepath.Error
			if !errors.As(err, &foreign) || foreign.Path != path || !strings.Contains(foreign.Reason, "ch") {
				t.Errorf("got %v, want a word about %s", err, path)
			}
			// The store refuses it before: the secret does, too.
			s, err := ownSecret(dir)
			if name == "labels" || name == "the secret" { // which root has put there
				must(t, err)
				must(t, s.Close())
			} else if !errors.As(err, &foreign) || foreign.Path != path {
				t.Errorf("the secret is used, %v, want a word about %s", err, path)
			}
		})
	}
}

// TestRotateForAnotherUser rotates as root in the directory of a gateway of
// another user, before and after its first start.
func TestRotateForAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	const nobody = 65534
	dir := t.TempDir()
	must(t, os.Chown(dir, nobody, nobody))
	c := DefaultConfig()
	c.State = dir
	for range 2 {
		must(t, c.RotateSecret())
		for _, name := range []string{secretFile, oldSecretFile} {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != nobody || info.Mode() != 0o600 {
				t.Errorf("%s: %v of %+v", name, info.Mode(), owner)
			}
		}
	}
	// What only root may read is not copied into that directory.
	private := filepath.Join(t.TempDir(), "private")
	must(t, os.WriteFile(private, []byte("only root may read this\n"), 0o600))
	for name, put := range map[string]func(from, to string) error{"link": os.Symlink, "hard link": os.Link} {
		must(t, os.Remove(filepath.Join(dir, secretFile)))
		must(t, put(private, filepath.Join(dir, secretFile)))
		if err := c.RotateSecret(); err == nil {
			t.Errorf("a %s was read", name)
		}
		old, err := os.ReadFile(filepath.Join(dir, oldSecretFile))
		must(t, err)
		if strings.Contains(string(old), "only root") {
			t.Errorf("by a %s root's file came to another user", name)
		}
	}
	c.State = filepath.Join(dir, "missing")
	if err := c.RotateSecret(); err == nil || !strings.Contains(err.Error(), "start the gateway first") {
		t.Errorf("without a directory: %v", err)
	}
}

// FuzzSecret reads what may be in the file of the secret.
func FuzzSecret(f *testing.F) {
	for _, text := range []string{"", "\n", "0123456789abcdef\n", " 0123456789abcde ", "0123456789abcdef\x000123", strings.Repeat("é", 300)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, secretFile), text, 0o600))
		s, err := ownSecret(dir)
		if err != nil {
			if strings.Contains(err.Error(), string(text)) && len(text) >= minSecret {
				t.Errorf("the error has the secret: %v", err)
			}
			return
		}
		defer s.Close()
		value, err := s.Value()
		must(t, err)
		if len(value) < minSecret || len(value) > maxSecret || !s.matches(t.Context(), value) || s.matches(t.Context(), value+"x") || s.matches(t.Context(), "") {
			t.Errorf("%q is taken for %q", text, value)
		}
	})
}
