package certsd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile is the size up to which a file of a host directory is read. The
// bundle of all public CA roots has about 220 KiB.
const maxFile = 4 << 20

// errDirectory tells that a name belongs to a directory.
var errDirectory = errors.New("is a directory")

// source is where a host directory is read from.
type source interface {
	// list returns the entries of the directory, sorted by name.
	list() ([]fs.DirEntry, error)
	// read returns a file: a name in the directory, or another path.
	read(path string) ([]byte, error)
}

// fsSource reads the directory from a file system and what lies outside it
// through readFile, a relative path from dir.
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
		f, err := s.fsys.Open(clean)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readAll(f)
	}
	return s.readFile(filepath.Join(s.dir, path))
}

// readFile is os.ReadFile for regular files of bounded size: a pipe would
// block for ever.
func readFile(path string) ([]byte, error) {
	// Opening a pipe blocks already.
	if info, err := os.Stat(path); err != nil { //nolint:gosec // reading the files an administrator named is the purpose
		return nil, err
	} else if err := checkMode(info); err != nil {
		return nil, err
	}
	f, err := os.Open(path) //nolint:gosec // as above
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

func checkMode(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errDirectory
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	}
	return nil
}

func readAll(f fs.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	return data, nil
}

// cause is the reason inside an error of package os: the path around it is
// known to who reports it.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
