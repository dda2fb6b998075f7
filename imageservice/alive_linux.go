package imageservice

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/certsd/containerd-certsd/internal/safepath"
)

// alive shows which processes of an instance are alive. They share a file in which each
// locks the byte at its own number; the kernel unlocks it when the process ends, for
// whatever reason. Unlike a process ID, the number means the same in every container
// that has the file.
type alive struct {
	file   *os.File
	number int64
}

// newAlive locks a byte of a file, creating it if necessary.
func newAlive(path string) (*alive, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%s is not the path of a file", path)
	}
	if err := safepath.Own(path); err != nil {
		return nil, err
	}
	number, err := rand.Int(rand.Reader, big.NewInt(math.MaxInt64-1))
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600) //nolint:gosec // it is beside the socket
	if err != nil {
		return nil, err
	}
	a := &alive{file: file, number: number.Int64()}
	if _, err := a.lock(unix.F_OFD_SETLK, a.number); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: locking: %w", path, err), file.Close())
	}
	return a, nil
}

// name returns the name of this process.
func (a *alive) name() string { return strconv.FormatInt(a.number, 10) }

// lives reports whether another process with this name is alive, or cannot be checked.
func (a *alive) lives(name string) bool {
	number, err := strconv.ParseInt(name, 10, 64)
	if err != nil || number < 0 {
		return false
	}
	found, err := a.lock(unix.F_OFD_GETLK, number)
	return err != nil || found.Type != unix.F_UNLCK
}

// lock calls fcntl(2) for a one-byte lock that belongs to the open file.
func (a *alive) lock(command int, number int64) (unix.Flock_t, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: number, Len: 1}
	conn, err := a.file.SyscallConn()
	if err != nil {
		return l, err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = unix.FcntlFlock(fd, command, &l) }); err != nil {
		return l, err
	}
	return l, failed
}

// close releases the lock of this process.
func (a *alive) close() { _ = a.file.Close() }
