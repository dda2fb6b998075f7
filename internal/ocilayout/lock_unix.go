//go:build unix

package ocilayout

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks the file until it is closed, unless another process has locked it.
// File systems without locks count as locked. github.com/gofrs/flock makes an error
// of those, and opens the file by itself: hence the call of flock.
func tryLock(f *os.File) (locked bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return true, nil
		}
	}
}
