package gateway

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hold locks a file for as long as it is open. Unlike a flock, this lock can be tested
// without taking it.
func hold(f *os.File) error {
	lock := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
}

// isHeld reports whether a process holds the lock.
func isHeld(f *os.File) bool {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type != unix.F_UNLCK
}
