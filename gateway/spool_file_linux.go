package gateway

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// unnamedFile creates a file that never has a name, if the file system supports
// that.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600) //nolint:gosec // the state directory
	if err != nil {
		return unlinkedFile(dir)
	}
	return f, nil
}

// allocate reserves space on disk, if the file system supports that.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}
