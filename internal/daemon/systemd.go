// Package daemon holds code shared by the daemons of this module: the sockets that they
// listen on (listen.go), those passed by systemd and notifications to it (systemd.go),
// and ignoring SIGHUP (hangup.go).
package daemon

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Activated reports whether systemd opened listeners for this process.
func Activated() bool { return os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) }

// Inherited returns the listeners that systemd opened for this process, if any.
func Inherited() ([]net.Listener, error) {
	if !Activated() {
		return nil, nil
	}
	// The library takes a value that is not a number for no sockets.
	fds := os.Getenv("LISTEN_FDS")
	if n, err := strconv.Atoi(fds); err != nil || n < 1 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS is %q", fds)
	}
	return listeners(activation.Files(true))
}

// listeners takes over the sockets in files. A file that is not a socket is an error,
// unlike in activation.Listeners, which leaves it out.
func listeners(files []*os.File) (all []net.Listener, err error) {
	for _, file := range files {
		l, e := net.FileListener(file)
		_ = file.Close() // l has a copy
		if e != nil {
			err = fmt.Errorf("inherited socket %s: %w", file.Name(), e)
			continue
		}
		all = append(all, l)
	}
	if err != nil {
		CloseAll(all)
		return nil, err
	}
	return all, nil
}

// Notify reports the state of the process, such as "READY=1", to systemd if it runs the
// process with notifications: sd_notify(3).
func Notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}
