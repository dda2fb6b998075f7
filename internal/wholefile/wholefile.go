// Package wholefile writes files completely or not at all, even if the power fails: it
// writes under another name first, then renames the file and syncs the directory. It
// works below an [os.Root] and never leaves it.
//
// github.com/google/renameio/v2, which also works below an os.Root, does not suffice:
// version 2.0.2 does not sync the directory, replaces a file that must be new, and does
// not report which file it has put in place.
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

// Options describes a file to write. The umask is ignored.
type Options struct {
	// Mode is the mode of the file; zero means 0600.
	Mode fs.FileMode
	// Owner is the owner of the file; nil means the user who writes it.
	Owner *Owner
	// New makes it an error, fs.ErrExist, if the file exists.
	New bool
}

// Owner is a user and a group.
type Owner struct{ UID, GID int }

// Write writes a file completely or not at all.
func Write(root *os.Root, name string, data []byte, o Options) error {
	_, err := Place(root, name, data, o)
	return err
}

// WritePath is [Write] for a path whose directory exists.
func WritePath(path string, data []byte, o Options) (err error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return Write(root, filepath.Base(path), data, o)
}

// Place is [Write], and also returns the file's FileInfo: in a shared directory, the
// caller can check that the name still refers to it.
func Place(root *os.Root, name string, data []byte, o Options) (info fs.FileInfo, err error) {
	tmp := filepath.Join(filepath.Dir(name), Temporary(name))
	if info, err = Create(root, tmp, data, o); err != nil {
		return nil, err
	}
	defer func() {
		// After a rename the temporary name is gone.
		if e := root.Remove(tmp); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	put := root.Rename
	if o.New {
		// A link, unlike a rename, does not replace an existing file.
		put = root.Link
	}
	if err := put(tmp, name); err != nil {
		return nil, err
	}
	return info, Sync(root, filepath.Dir(name))
}

// Create writes a new file directly under its name and syncs its content. It is meant
// for a directory that nobody else uses yet; [Sync] syncs the names in it.
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
	// Change the open file, whatever its name refers to by now.
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

// Sync syncs the names in a directory to the disk, if the file system supports that.
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

// Temporary returns a unique temporary name for the file that becomes name. It begins
// with a dot, as no registry's name does.
func Temporary(name string) string {
	return "." + strings.TrimLeft(filepath.Base(name), ".") + ".certsd-" + rand.Text()
}
