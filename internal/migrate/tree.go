package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// tree is the current state of the root to write. It never leads outside the root,
// whatever symbolic links say.
type tree struct {
	output string
	root   *os.Root // nil if the directory does not exist
}

func openTree(output string) (*tree, error) {
	root, err := os.OpenRoot(output)
	if errors.Is(err, fs.ErrNotExist) {
		return &tree{output: output}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", output, cause(err))
	}
	return &tree{output, root}, nil
}

func (t *tree) close() {
	if t.root != nil {
		_ = t.root.Close()
	}
}

// path returns the full path of a file.
func (t *tree) path(dir, name string) string { return filepath.Join(t.output, dir, name) }

// hosts returns a directory's hosts.toml, nil if there is none.
func (t *tree) hosts(dir string) ([]byte, error) { return t.file(dir, hostsTOML) }

// file returns the content of a file in a directory, nil if there is none. It fails if
// the file must not be written.
func (t *tree) file(dir, name string) ([]byte, error) {
	if t.root == nil {
		return nil, nil
	}
	info, err := t.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, cause(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("is in a directory that is a symbolic link: change the file in the directory it points to by hand")
	case !info.IsDir():
		return nil, errors.New("is not in a directory")
	}
	path := filepath.Join(dir, name)
	info, err = t.root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, cause(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("is a symbolic link: change the file that it points to by hand")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	data, err := plainfile.ReadRoot(t.root, path)
	if err != nil {
		return nil, cause(err)
	}
	return data, nil
}
