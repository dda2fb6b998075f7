// Package plainfile reads the files that people and programs leave for a daemon:
// regular ones of a bounded size (plainfile.go), with text in UTF-8 (text.go). Anything
// else is an error at once: a pipe without a writer or a device might block its reader
// forever, or have no end.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/certsd/containerd-certsd/internal/bytesize"
)

// Most is the default limit for the size of a file. The bundle of all public CA roots
// has about 220 KiB.
const Most = 4 << 20

// Reasons why a file is not read, as the cause in an [fs.PathError].
var (
	// ErrDirectory reports that a name belongs to a directory.
	ErrDirectory = errors.New("is a directory")
	// ErrIrregular reports that it belongs to a device, a pipe or a socket.
	ErrIrregular = errors.New("is not a regular file")
)

// Read returns the content of a file of at most [Most] bytes. It follows links, of
// which a Kubernetes secret consists.
func Read(path string) ([]byte, error) { return ReadMost(path, Most) }

// ReadMost is [Read] with another limit.
func ReadMost(path string, most int64) ([]byte, error) {
	// Do not even open an irregular file: that may rewind a tape.
	info, err := os.Stat(path)
	if err != nil {
		return nil, opening(err)
	}
	if err := checkMode(info); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	// It may have been replaced since: do not wait for a pipe, and check again.
	f, err := os.OpenFile(path, os.O_RDONLY|noWait, 0) //nolint:gosec // reading the files an administrator named is the purpose
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, most)
}

// ReadFS is [Read] for a file in a file system.
func ReadFS(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if err := checkMode(info); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, Most)
}

// ReadRoot is [Read] for a file below an open directory.
func ReadRoot(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, Most)
}

func readAll(f fs.File, path string, most int64) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(info); err != nil {
		return fail(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > most:
		return fail(fmt.Errorf("is larger than %s", bytesize.Limit(most)))
	}
	return data, nil
}

// opening turns an error of os.Stat into one of os.Open, as the caller expects.
func opening(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return &fs.PathError{Op: "open", Path: path.Path, Err: path.Err}
	}
	return err
}

func checkMode(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return ErrDirectory
	case !info.Mode().IsRegular():
		return ErrIrregular
	}
	return nil
}
