// Package daemon is what the daemons of this module share: the sockets that
// they listen on, and what systemd passes them and is told by them.
package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// firstInherited is the first descriptor systemd passes: sd_listen_fds(3).
const firstInherited = 3

// Activated reports whether systemd opened listeners for this process.
func Activated() bool { return os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) }

// Inherited are the listeners systemd opened for this process, none without.
func Inherited() ([]net.Listener, error) {
	if !Activated() {
		return nil, nil
	}
	fds := os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 1 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS is %q", fds)
	}
	return listenersFrom(firstInherited, n)
}

func listenersFrom(first, n int) ([]net.Listener, error) {
	var listeners []net.Listener
	for fd := first; fd < first+n; fd++ {
		syscall.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), "inherited socket "+strconv.Itoa(fd))
		l, err := net.FileListener(file)
		_ = file.Close() // l has a copy
		if err != nil {
			CloseAll(listeners)
			return nil, fmt.Errorf("inherited descriptor %d: %w", fd, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Notify tells systemd about the state of the process, such as "READY=1", if it
// wants to know: sd_notify(3).
func Notify(ctx context.Context, state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// net turns the "@" of an abstract name into NUL.
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", path)
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close()
	}
	return err
}
