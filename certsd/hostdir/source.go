package hostdir

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// source provides the files of a host directory.
type source interface {
	// list returns the entries of the directory, sorted by name.
	list() ([]fs.DirEntry, error)
	// read returns a file: a name in the directory, or another path.
	read(path string) ([]byte, error)
}

// fsSource reads the directory from a file system, and files outside of it through
// readFile, with relative paths resolved from dir.
type fsSource struct {
	fsys     fs.FS
	dir      string
	readFile func(path string) ([]byte, error)
}

func (s fsSource) list() ([]fs.DirEntry, error) { return fs.ReadDir(s.fsys, ".") }

func (s fsSource) read(path string) ([]byte, error) {
	if filepath.IsAbs(path) {
		return s.readFile(path)
	}
	if clean := filepath.ToSlash(filepath.Clean(path)); fs.ValidPath(clean) {
		return plainfile.ReadFS(s.fsys, clean)
	}
	return s.readFile(filepath.Join(s.dir, path))
}

// cause returns the reason inside an error of package os, for a caller that reports the
// path itself.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
