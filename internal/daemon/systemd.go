// Package daemon holds what the daemons of this module share: the sockets that
// they listen on (listen.go), those that systemd passes them and what they tell
// systemd (systemd.go), and that SIGHUP does not end them (hangup.go).
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

// Inherited returns the listeners systemd opened for this process, none without.
func Inherited() ([]net.Listener, error) {
	if !Activated() {
		return nil, nil
	}
	// The library takes what is not a number for no sockets.
	fds := os.Getenv("LISTEN_FDS")
	if n, err := strconv.Atoi(fds); err != nil || n < 1 || n > 64 {
		return nil, fmt.Errorf("LISTEN_FDS is %q", fds)
	}
	return listeners(activation.Files(true))
}

// listeners takes over the sockets in files. activation.Listeners leaves out
// what is no socket; here that is an error.
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

// Notify tells systemd about the state of the process, such as "READY=1", if it
// wants to know: sd_notify(3).
func Notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}
