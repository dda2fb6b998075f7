package hostdir

import (
	"errors"
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when the inode last changed. Unlike the modification time it
// cannot be set: it shows a file that was replaced by one of the same age and
// a permission that was granted.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Time{}
}

// matchesNow is what stamp.matches says of the path as it is now, straight from
// the system call: package os allocates for each answer, and a lookup makes
// many. It says nothing where that is not how the stamp was made.
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

// stat is os.Stat as far as system calls go.
func stat(path string, st *syscall.Stat_t) error {
	for {
		if err := syscall.Stat(path, st); err != syscall.EINTR { //nolint:errorlint // system calls do not wrap
			return err
		}
	}
}
