//go:build unix

package ocilayout

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks the file until it is closed, unless another process has. File
// systems that have no locks go without: that is why it is a call of flock, and not
// github.com/gofrs/flock, which makes an error of it and opens the file by itself.
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
