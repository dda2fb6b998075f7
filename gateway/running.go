package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/safepath"
)

const (
	// runningFile is in the state directory while a gateway runs and holds a lock on
	// it: a killed gateway leaves the file, but no lock.
	runningFile = "running"
	// maxRunning bounds its size in bytes.
	maxRunning = 64 << 10
)

// listening is the address information of a running gateway.
type listening struct {
	// Addresses are host:port or unix:PATH, including ports chosen by the system and
	// sockets opened by systemd.
	Addresses []string `json:"addresses"`
	TLS       bool     `json:"tls"`
	// Certificate is the file of the gateway's own certificate.
	Certificate string `json:"certificate,omitempty"`
	// SecretGrace is how long a replaced secret is still accepted.
	SecretGrace time.Duration `json:"secret_grace"`
}

// announce publishes on this machine where the gateway listens, until end is called. A
// gateway that cannot write the file still serves.
func announce(ctx context.Context, dir *safepath.Dir, listeners []net.Listener, r listening) (end func()) {
	for _, l := range listeners {
		address := l.Addr().String()
		if l.Addr().Network() == "unix" {
			address = "unix:" + address
		}
		r.Addresses = append(r.Addresses, address)
	}
	logger := log.G(context.WithoutCancel(ctx))
	held, err := r.write(dir)
	if err != nil {
		logger.WithError(err).Warn("certsd gateway: cannot publish the address it listens on")
		return func() {}
	}
	return func() {
		if err := errors.Join(dir.Remove(runningFile), held.Close()); err != nil {
			logger.WithError(err).Warn("certsd gateway: cannot publish the address it listens on")
		}
	}
}

// write writes the file and locks it until it is closed.
func (r listening) write(dir *safepath.Dir) (io.Closer, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := dir.Replace(runningFile, secretFile, append(text, '\n')); err != nil {
		return nil, err
	}
	f, _, err := dir.Open(runningFile)
	if err != nil {
		return nil, err
	}
	if err := hold(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s/%s: %w", dir.Path(), runningFile, err), f.Close())
	}
	return f, nil
}

// findRunning reads where the running gateway of a state directory listens. If none
// runs the error is fs.ErrNotExist.
func findRunning(state string) (r listening, err error) {
	if state == "" {
		return r, fs.ErrNotExist
	}
	dir, err := safepath.Open(state)
	if err != nil {
		return r, err
	}
	defer dir.Close()
	f, _, err := dir.Open(runningFile)
	if err != nil {
		return r, err
	}
	defer f.Close()
	if !isHeld(f) {
		return r, fs.ErrNotExist // left by a killed gateway
	}
	if err := json.NewDecoder(io.LimitReader(f, maxRunning)).Decode(&r); err != nil {
		return r, fmt.Errorf("%s/%s: %w", state, runningFile, err)
	}
	return r, nil
}
