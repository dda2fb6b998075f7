package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/safepath"
)

// SplitAddress parses host:port or unix:PATH into a network and its address.
func SplitAddress(address string) (network, rest string, err error) {
	path, local := strings.CutPrefix(address, "unix:")
	if local && path != "" {
		return "unix", path, nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port) //nolint:noctx // it reads a file at most
	}
	if local || err != nil {
		return "", "", fmt.Errorf("%q is neither host:port nor unix:PATH", address)
	}
	return "tcp", address, nil
}

// Listen listens at host:port or unix:PATH.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network, rest, err := SplitAddress(address)
	switch {
	case err != nil:
		return nil, err
	case network == "unix":
		return ListenUnix(ctx, rest)
	}
	return (&net.ListenConfig{}).Listen(ctx, network, rest)
}

// IsLoopback reports whether only this machine can connect to host:port.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// ListenUnix listens on a socket that only its owner may connect to; systemd can create
// sockets for a group. It replaces a socket left behind by an earlier process of this
// user, but no other file. All directories above must belong to this user or root:
// another owner could replace the socket.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if strings.HasPrefix(path, "@") {
		return nil, fmt.Errorf("%s: anyone may connect to an abstract socket: name a file", path)
	}
	if err := safepath.Own(path); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: another process listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// The file gets the mode of the descriptor: it never has another.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err == nil && (info.Mode().Type() != os.ModeSocket || info.Mode().Perm()&0o077 != 0) {
		err = fmt.Errorf("%s: it has the mode %s, and only this user should connect there", path, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// CloseAll closes the listeners.
func CloseAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}
