package hostdir

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// changeTime returns when the inode last changed. Unlike the modification time it cannot
// be set: it reveals a file that was replaced by one with the same time, and a
// changed permission.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Time{}
}

// matchesNow returns what stamp.matches says about the path as it is now, straight
// from the system call: package os allocates for each answer, and a lookup makes
// many. known is false if the stamp was not made that way.
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
