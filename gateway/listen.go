package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/certsd/containerd-certsd/internal/daemon"
)

// listen opens the sockets to serve: the sockets systemd passed, else the
// configured addresses. certs are for TLS, nil for none.
func (c *Config) listen(ctx context.Context, certs *certificates) (listeners []net.Listener, err error) {
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
		if listeners, err = c.open(ctx); err != nil {
			return listeners, err
		}
	}
	pool := newPool(c.MaxConnections)
	for i, l := range listeners {
		if err := c.mayListen(l.Addr().Network(), l.Addr().String(), certs != nil); err != nil {
			return listeners, err
		}
		listeners[i] = &boundedListener{Listener: l, pool: pool, closed: make(chan struct{})}
		if certs != nil {
			listeners[i] = tls.NewListener(listeners[i], certs.config(ctx))
		}
	}
	return listeners, nil
}

// checkListen finds addresses that cannot be listened on, or must not be.
func (c *Config) checkListen(secure bool) error {
	if daemon.Activated() {
		return nil // they are not used
	}
	if len(c.Listen) == 0 {
		return errors.New("listen: no address")
	}
	for _, address := range c.Listen {
		network, _, err := daemon.SplitAddress(address)
		if err == nil {
			err = c.mayListen(network, address, secure)
		}
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	return nil
}

func (c *Config) open(ctx context.Context) (listeners []net.Listener, err error) {
	for _, address := range c.Listen {
		l, err := daemon.Listen(ctx, address)
		if err != nil {
			return listeners, fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// mayListen keeps the secret from networks where others could read it.
func (c *Config) mayListen(network, address string, secure bool) error {
	if secure || c.AllowRemote || network == "unix" || daemon.IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address, and others could read the secret on the way: use 127.0.0.1 or a unix socket, give tls_cert and tls_key, or say allow_remote", address)
}
