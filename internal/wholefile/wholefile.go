// Package wholefile writes files completely or not at all, even if the power fails:
// under another name first, then it renames the file and syncs the
// directory. It works below an [os.Root] and never leaves it.
//
// It is not left to github.com/google/renameio/v2, which also works below an os.Root:
// version 2.0.2 does not sync the directory, replaces a file that has to be new,
// and does not say what it has put in place.
package wholefile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Options say what a file is like. The umask does not count.
type Options struct {
	// Mode is 0600 if it is zero.
	Mode fs.FileMode
	// Owner is the future owner of the file; nil is the user who writes it.
	Owner *Owner
	// New makes it an error, fs.ErrExist, that there is such a file.
	New bool
}

// Owner is a user and a group.
type Owner struct{ UID, GID int }

// Write puts a file in place.
func Write(root *os.Root, name string, data []byte, o Options) error {
	_, err := Place(root, name, data, o)
	return err
}

// WritePath is [Write] for a path: the directory has to be there.
func WritePath(path string, data []byte, o Options) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return Write(root, filepath.Base(path), data, o)
}

// Place is [Write], and says what it has put in place: whoever shares the directory
// with others may see whether it is still there.
func Place(root *os.Root, name string, data []byte, o Options) (info fs.FileInfo, err error) {
	tmp := filepath.Join(filepath.Dir(name), Temporary(name))
	if info, err = Create(root, tmp, data, o); err != nil {
		return nil, err
	}
	defer func() {
		// Renamed, it is not there any more.
		if e := root.Remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	put := root.Rename
	if o.New {
		// A link, unlike a rename, does not replace what is there.
		put = root.Link
	}
	if err := put(tmp, name); err != nil {
		return nil, err
	}
	return info, Sync(root, filepath.Dir(name))
}

// Create writes a new file under the very name, and has its content on the disk.
// It is for a directory that nobody knows yet; [Sync] is for its names.
func Create(root *os.Root, name string, data []byte, o Options) (info fs.FileInfo, err error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, root.Remove(name))
		}
	}()
	// The one that is open, whatever its name leads to by now.
	if o.Owner != nil {
		err = f.Chown(o.Owner.UID, o.Owner.GID)
	}
	if o.Mode != 0 {
		err = errors.Join(err, f.Chmod(o.Mode))
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return nil, err
	}
	return f.Stat()
}

// Sync puts the names in a directory on the disk, where the file system can do
// that for directories.
func Sync(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Temporary returns a name that nothing else has, for what becomes name: it begins with
// a dot, as no registry does.
func Temporary(name string) string {
	return "." + strings.TrimLeft(filepath.Base(name), ".") + ".certsd-" + rand.Text()
}
