package ocilayout

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestLayoutOfAnotherUser opens layouts in which another user may lead blobs
// elsewhere, by a link that is there or will be.
func TestLayoutOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	for _, foreign := range []string{".", "..", "blobs", "blobs/sha256"} {
		top := t.TempDir()
		dir := filepath.Join(top, "above", "layout")
		path := filepath.Join(dir, foreign)
		elsewhere := t.TempDir()
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "blobs"), 0o755), os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
		if foreign == "blobs/sha256" {
			err = errors.Join(err, os.Symlink(elsewhere, path))
		}
		if err := errors.Join(err, os.Lchown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), dir, Options{})
		var e *safepath.Error
		if !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", foreign, err)
		}
		if err == nil {
			_ = l.Close()
		}
		if entries, err := os.ReadDir(elsewhere); len(entries) > 0 || err != nil {
			t.Errorf("%s: written elsewhere: %v %v", foreign, entries, err)
		}
	}
}
