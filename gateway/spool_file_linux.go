package gateway

import (
	"os"

	"golang.org/x/sys/unix"
)

// unnamedFile makes a file that has no name at any time, where the file system
// can do that.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600) //nolint:gosec // the state directory
	if err != nil {
		return unlinkedFile(dir)
	}
	return f, nil
}
