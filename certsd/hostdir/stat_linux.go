package hostdir

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// changeTime returns when the inode last changed. Unlike the modification time it
// cannot be set: it reveals changed permissions, and a file replaced by one with the
// same modification time.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Time{}
}

// matchesNow is stamp.matches for the path as it is now, straight from the system call:
// package os allocates for each answer, and a lookup makes many calls. known is false
// if the stamp has no syscall.Stat_t.
func (s *stamp) matchesNow() (same, known bool) {
	var was, now syscall.Stat_t
	if s.err == nil {
		st, ok := s.info.Sys().(*syscall.Stat_t)
		if !ok {
			return false, false
		}
		was = *st
	}
	err := stat(s.path, &now)
	if err != nil || s.err != nil {
		return err != nil && s.err != nil && errors.Is(err, cause(s.err)), true
	}
	return !s.fresh &&
		now.Size == was.Size && now.Mode == was.Mode &&
		now.Mtim == was.Mtim && now.Ctim == was.Ctim &&
		now.Ino == was.Ino && now.Dev == was.Dev, true
}

// stat makes the system call of os.Stat.
func stat(path string, st *syscall.Stat_t) error {
	for {
		if err := syscall.Stat(path, st); err != syscall.EINTR { //nolint:errorlint // system calls do not wrap
			return err
		}
	}
}
