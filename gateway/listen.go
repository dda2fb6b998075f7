package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
)

// listen opens what is to be listened on: the sockets systemd passed, else the
// configured addresses. certs are for TLS, nil for none.
func (c *Config) listen(ctx context.Context, certs *certificates) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(listeners)
			listeners = nil
		}
	}()
	if listeners, err = inherited(); err != nil {
		return nil, err
	}
	if listeners == nil {
		if listeners, err = c.open(ctx); err != nil {
			return listeners, err
		}
	}
	slots := make(chan struct{}, c.MaxConnections)
	for i, l := range listeners {
		if err := c.mayListen(l.Addr().Network(), l.Addr().String(), certs != nil); err != nil {
			return listeners, err
		}
		listeners[i] = &boundedListener{Listener: l, slots: slots, closed: make(chan struct{})}
		if certs != nil {
			listeners[i] = tls.NewListener(listeners[i], certs.config(ctx))
		}
	}
	return listeners, nil
}

// checkListen finds addresses that cannot be listened on, or must not be.
func (c *Config) checkListen(secure bool) error {
	if activated() {
		return nil // they are not used
	}
	if len(c.Listen) == 0 {
		return errors.New("listen: no address")
	}
	for _, address := range c.Listen {
		network, _, err := splitAddress(address)
		if err == nil {
			err = c.mayListen(network, address, secure)
		}
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	return nil
}

// splitAddress tells host:port from unix:PATH.
func splitAddress(address string) (network, rest string, err error) {
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

func (c *Config) open(ctx context.Context) (listeners []net.Listener, err error) {
	for _, address := range c.Listen {
		l, err := openOne(ctx, address)
		if err != nil {
			return listeners, fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func openOne(ctx context.Context, address string) (net.Listener, error) {
	network, rest, err := splitAddress(address)
	switch {
	case err != nil:
		return nil, err
	case network == "unix":
		return listenUnix(ctx, rest)
	}
	return (&net.ListenConfig{}).Listen(ctx, network, rest)
}

// mayListen keeps the secret from networks where others could read it.
func (c *Config) mayListen(network, address string, secure bool) error {
	if secure || c.AllowRemote || network == "unix" || isLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address, and others would see the secret on its way: use 127.0.0.1 or a unix socket, give tls_cert and tls_key, or say allow_remote", address)
}

// isLoopback tells whether only this machine can connect to an address.
func isLoopback(address string) bool {
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

// listenUnix takes the place of a socket that an earlier process left behind,
// but of no other file. Only its owner may connect; a socket for a group is for
// systemd to make.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: another process listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// boundedListener accepts no more connections than there are slots. Others wait
// in the backlog of the system.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
