package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestWriteNothingIntoDirectoriesOfOthers writes as root, keys included, where
// another user decides what a name leads to.
func TestWriteNothingIntoDirectoriesOfOthers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	for _, below := range []bool{false, true} {
		dir := t.TempDir()
		lay(t, dir, txtar.Parse([]byte(node)).Files)
		p := plan(t, dir)
		before, _ := filepath.Glob(p.Output + "/*/*")
		path := p.Output
		if below {
			path = filepath.Join(p.Output, p.Directories[0].Name)
		}
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		var e *safepath.Error
		_, err := p.Write()
		if !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", path, e)
		}
		if left, _ := filepath.Glob(p.Output + "/*/*"); len(left) > len(before) {
			t.Errorf("written: %q", left)
		}
	}
}
