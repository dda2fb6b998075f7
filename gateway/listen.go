package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/certsd/containerd-certsd/internal/daemon"
)

// sockets are the settings of the sockets to listen on.
type sockets struct {
	addresses   []string
	allowRemote bool
	// connections is how many are served at a time.
	connections int
}

func (c *Config) sockets() sockets { return sockets{c.Listen, c.AllowRemote, c.MaxConnections} }

// listen opens the sockets passed by systemd, or else the configured addresses. certs
// are for TLS, nil for none.
func (s sockets) listen(ctx context.Context, certs *certificates) (listeners []net.Listener, err error) {
	defer func() {
		if err != nil {
			daemon.CloseAll(listeners)
			listeners = nil
		}
	}()
	if listeners, err = daemon.Inherited(); err != nil {
		return nil, err
	}
	if listeners == nil {
		if listeners, err = s.open(ctx); err != nil {
			return listeners, err
		}
	}
	pool := newPool(s.connections)
	for i, l := range listeners {
		if err := s.mayListen(l.Addr().Network(), l.Addr().String(), certs != nil); err != nil {
			return listeners, err
		}
		listeners[i] = &boundedListener{Listener: l, pool: pool, closed: make(chan struct{})}
		if certs != nil {
			listeners[i] = tls.NewListener(listeners[i], certs.config(ctx))
		}
	}
	return listeners, nil
}

// check returns an error for addresses that cannot or must not be listened on.
func (s sockets) check(secure bool) error {
	if daemon.Activated() {
		return nil // the addresses are not used
	}
	if len(s.addresses) == 0 {
		return errors.New("listen: no address")
	}
	for _, address := range s.addresses {
		network, _, err := daemon.SplitAddress(address)
		if err == nil {
			err = s.mayListen(network, address, secure)
		}
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	return nil
}

func (s sockets) open(ctx context.Context) (listeners []net.Listener, err error) {
	for _, address := range s.addresses {
		l, err := daemon.Listen(ctx, address)
		if err != nil {
			return listeners, fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// mayListen keeps the secret from networks where others could read it.
func (s sockets) mayListen(network, address string, secure bool) error {
	if secure || s.allowRemote || network == "unix" || daemon.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address, and others could read the secret on the way: use 127.0.0.1 or a unix socket, give tls_cert and tls_key, or say allow_remote", address)
}
