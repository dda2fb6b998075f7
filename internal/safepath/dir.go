package safepath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// Dir is an open directory. It reads only files of the directory's owner, and files
// that it writes belong to the owner, whoever runs the process. It follows no link out
// of the directory, and changes no owner by name.
type Dir struct {
	path  string
	root  *os.Root
	owner uint32
	group uint32
	mode  fs.FileMode
}

// Open opens a directory that belongs to the user of this process, to root or, if the
// process is root's, to any user: then root's rights serve only to read and write that
// user's files there.
func Open(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	t := here()
	if uid, ok := ownerOf(info); ok && t.euid == 0 {
		t.owner = uid
	}
	if err := own(path, t); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, root: root}
	if err := d.look(t); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

// look records owner and mode of the open directory, and checks that they are trusted.
func (d *Dir) look(t trust) error {
	info, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	if err := t.check(d.path, info, false); err != nil {
		return err
	}
	d.mode = info.Mode()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		d.owner, d.group = sys.Uid, sys.Gid
	}
	if perm := d.mode.Perm(); perm&0o022 != 0 {
		return &Error{d.path, fmt.Sprintf("can be written by users other than %s (mode %#o), who can replace what is there: chmod go-w it", Name(d.owner), perm)}
	}
	return nil
}

// Close closes the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Path returns the path that the directory was opened by.
func (d *Dir) Path() string { return d.path }

// Stat returns the state of a file, which must be a regular one of the owner's.
func (d *Dir) Stat(name string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, d.at(name, err)
	}
	return info, d.belongs(name, info)
}

// Open opens a file for reading. It must be a regular file of the owner's, not another
// user's that a link leads to.
func (d *Dir) Open(name string) (*os.File, fs.FileInfo, error) {
	if _, err := d.Stat(name); err != nil {
		return nil, nil, err
	}
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, d.at(name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = d.belongs(name, info)
	}
	if err != nil {
		return nil, nil, errors.Join(d.at(name, err), f.Close())
	}
	return f, info, nil
}

// Remove removes a file or link.
func (d *Dir) Remove(name string) error { return d.at(name, d.root.Remove(name)) }

// Read reads a file of at most that many bytes, with the checks of [Dir.Open].
func (d *Dir) Read(name string, most int64) ([]byte, fs.FileInfo, error) {
	f, info, err := d.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", d.file(name), most)
	}
	return data, info, err
}

// belongs returns an error for anything but a regular file of the owner's.
func (d *Dir) belongs(name string, info fs.FileInfo) error {
	sys, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return &Error{d.file(name), "is a link, which is not followed: put the file itself there"}
	case !info.Mode().IsRegular():
		return &Error{d.file(name), "is not a regular file"}
	case ok && sys.Uid != d.owner && d.owner != 0 && !byRoot(sys.Uid, os.Geteuid()): // root's directory holds what root put there
		return &Error{d.file(name), fmt.Sprintf("belongs to %s, and the directory to %s: chown it to the owner of the directory, or remove it", Name(sys.Uid), Name(d.owner))}
	}
	return nil
}

// byRoot reports whether a file is root's and the process is not: whatever it may read
// of root's files, root has granted. With root's rights it could read anything that a
// link leads to.
func byRoot(uid uint32, euid int) bool { return uid == 0 && euid != 0 }

// Private reports whether only its owner may access a file. For a process that is not
// root's, a file of root's may also be readable by one of the process's groups: so the
// kubelet mounts a Secret for a pod with its own group.
func Private(info fs.FileInfo) bool {
	perm := info.Mode().Perm()
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && byRoot(sys.Uid, os.Geteuid()) {
		groups, err := os.Getgroups()
		if err == nil && slices.Contains(append(groups, os.Getegid()), int(sys.Gid)) {
			perm &^= 0o040
		}
	}
	return perm&0o077 == 0
}

// Create writes a new file with mode 0600. If the file exists, the error is
// fs.ErrExist.
func (d *Dir) Create(name string, data []byte) error {
	return d.write(name, data, wholefile.Options{New: true, Owner: &wholefile.Owner{UID: int(d.owner), GID: int(d.group)}})
}

// Replace writes a file with mode 0600, completely or not at all. It gets the owner of
// the file like, which may be the one that it replaces.
func (d *Dir) Replace(name, like string, data []byte) error {
	info, err := d.Stat(like)
	if err != nil {
		return err
	}
	owner := wholefile.Owner{UID: int(d.owner), GID: int(d.group)}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = wholefile.Owner{UID: int(sys.Uid), GID: int(sys.Gid)}
	}
	return d.write(name, data, wholefile.Options{Owner: &owner})
}

func (d *Dir) write(name string, data []byte, o wholefile.Options) error {
	if o.Owner.UID == os.Geteuid() {
		o.Owner = nil
	}
	mine, err := wholefile.Place(d.root, name, data, o)
	if err != nil {
		return d.at(name, err)
	}
	return d.arrived(name, mine)
}

// arrived checks that the name now refers to the file that was written.
func (d *Dir) arrived(name string, mine fs.FileInfo) error {
	there, err := d.root.Lstat(name)
	if err == nil && !os.SameFile(mine, there) {
		return &Error{d.file(name), "was replaced while it was being written: another process is writing in the directory"}
	}
	return d.at(name, err)
}

func (d *Dir) file(name string) string { return d.path + "/" + name }

// at returns the error with the full path of the file.
func (d *Dir) at(name string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return &fs.PathError{Op: pathErr.Op, Path: d.file(name), Err: pathErr.Err}
	}
	return err
}
