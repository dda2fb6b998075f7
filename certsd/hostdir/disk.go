package hostdir

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// A file must reach a certain age before its stamp is trusted: a file system may give
// two consecutive writes the same time.
const (
	// racy is that age. The clock tick behind file times is 4 or 10 ms on Linux, and
	// file servers have their own clocks.
	racy = 100 * time.Millisecond
	// racyCoarse is that age where times are whole seconds, as on ext3 and on ext4 with
	// small inodes; FAT has only even seconds.
	racyCoarse = 2*time.Second + racy
)

// disk accesses files. A nil field stands for package os; tests count accesses and
// refuse some.
type disk struct {
	stat     func(path string) (fs.FileInfo, error)
	readFile func(path string) ([]byte, error)
	readDir  func(path string) ([]fs.DirEntry, error)
	now      func() time.Time
}

func (d disk) Stat(path string) (fs.FileInfo, error) {
	if d.stat != nil {
		return d.stat(path)
	}
	return os.Stat(path) //nolint:gosec // the paths are checked: see Canonical
}

// Lstat is Stat for a symbolic link itself.
func (d disk) Lstat(path string) (fs.FileInfo, error) {
	if d.stat != nil {
		return d.stat(path)
	}
	return os.Lstat(path)
}

func (d disk) ReadFile(path string) ([]byte, error) {
	if d.readFile != nil {
		return d.readFile(path)
	}
	return plainfile.Read(path)
}

func (d disk) ReadDir(path string) ([]fs.DirEntry, error) {
	if d.readDir != nil {
		return d.readDir(path)
	}
	return os.ReadDir(path)
}

func (d disk) Now() time.Time {
	if d.now != nil {
		return d.now()
	}
	return time.Now()
}

// stamp is the state of a path when it was read.
type stamp struct {
	path string
	// info is nil if the path could not be examined because of err.
	info fs.FileInfo
	err  error
	// fresh reports whether the path had only just changed: another change might leave
	// no visible difference.
	fresh bool
}

// stamp examines a path. Call it before reading the path, or a change in between goes
// unnoticed.
func (d disk) stamp(path string) stamp {
	info, err := d.Stat(path)
	return d.stampOf(path, info, err)
}

func (d disk) stampOf(path string, info fs.FileInfo, err error) stamp {
	if err != nil {
		return stamp{path: path, err: err}
	}
	last := latest(info)
	limit := racy
	if last.Nanosecond() == 0 {
		limit = racyCoarse
	}
	age := d.Now().Sub(last)
	return stamp{path: path, info: info, fresh: -limit < age && age < limit}
}

// current reports whether the path still looks the same.
func (d disk) current(s *stamp) bool {
	if d.stat == nil {
		if same, known := s.matchesNow(); known {
			return same
		}
	}
	info, err := d.Stat(s.path)
	return s.matches(info, err)
}

// allCurrent reports whether all paths still look the same.
func (d disk) allCurrent(stamps []stamp) bool {
	for i := range stamps {
		if !d.current(&stamps[i]) {
			return false
		}
	}
	return true
}

func (s *stamp) matches(info fs.FileInfo, err error) bool {
	if err != nil || s.err != nil {
		return err != nil && s.err != nil && errors.Is(err, cause(s.err))
	}
	return !s.fresh &&
		info.Size() == s.info.Size() &&
		info.Mode() == s.info.Mode() &&
		info.ModTime().Equal(s.info.ModTime()) &&
		changeTime(info).Equal(changeTime(s.info)) &&
		os.SameFile(info, s.info)
}

// latest returns when the file last changed, in content or otherwise.
func latest(info fs.FileInfo) time.Time {
	modified, changed := info.ModTime(), changeTime(info)
	if changed.After(modified) {
		return changed
	}
	return modified
}

// recorder is a source on the disk that records what it reads: the stamps show later
// whether to read again, and the sum whether the content differs. Whatever exists but
// could not be read is always read again: the reason may pass without a trace, as when
// the process has run out of file descriptors.
type recorder struct {
	disk   disk
	dir    string
	stamps []stamp
	sum    hash.Hash
	// unread reports whether something could not be read.
	unread bool
}

func newRecorder(d disk, dir string) *recorder {
	return &recorder{disk: d, dir: dir, sum: sha256.New()}
}

func (r *recorder) list() ([]fs.DirEntry, error) {
	r.stamps = append(r.stamps, r.disk.stamp(r.dir))
	entries, err := r.disk.ReadDir(r.dir)
	for _, entry := range entries {
		r.note([]byte(entry.Name()), nil)
	}
	r.note(nil, err)
	r.distrust(err)
	return entries, err
}

func (r *recorder) read(name string) ([]byte, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	s := r.disk.stamp(path)
	r.stamps = append(r.stamps, s)
	data, err := []byte(nil), s.err
	if err == nil {
		data, err = r.disk.ReadFile(path)
		r.distrust(err)
	}
	r.note([]byte(name), nil)
	if s.info != nil && s.info.Mode()&0o004 != 0 {
		// A key file with a PIN is refused if everybody can read it: the mode matters.
		r.note([]byte("for all to read"), nil)
	}
	r.note(data, err)
	return data, err
}

// distrust makes the last stamp match nothing if err may pass.
func (r *recorder) distrust(err error) {
	if mayPass(err) {
		r.stamps[len(r.stamps)-1].fresh, r.unread = true, true
	}
}

// mayPass reports whether an error may pass without changing the path's stamp. A
// missing read permission may not: once it is granted, the stamp differs.
func mayPass(err error) bool {
	var no syscall.Errno
	ok := errors.As(err, &no)
	switch no {
	case syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG:
		return false
	default:
		return ok
	}
}

// note adds to the sum, with the lengths in front to keep different inputs distinct.
func (r *recorder) note(data []byte, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	fmt.Fprintf(r.sum, "%d %d\n", len(data), len(text))
	r.sum.Write(data)
	r.sum.Write([]byte(text))
}

func (r *recorder) digest() [sha256.Size]byte { return [sha256.Size]byte(r.sum.Sum(nil)) }
