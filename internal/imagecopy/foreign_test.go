package imagecopy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestCacheOfAnotherUser opens a cache that another user has made, or has
// something in.
func TestCacheOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	for _, below := range []string{"", directoryFor("registry.example/app"), filepath.Join(directoryFor("registry.example/app"), "blobs")} {
		c := &Cache{Dir: filepath.Join(t.TempDir(), "cache")}
		path := filepath.Join(c.Dir, below)
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		s, err := c.open("registry.example/app")
		var e *safepath.Error
		if !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", path, err)
		}
		if err == nil {
			_ = s.close(true)
		}
	}
}
