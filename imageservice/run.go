package imageservice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/daemon"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/safepath"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
	"github.com/certsd/containerd-certsd/internal/telemetry"
)

// Run serves as configured until ctx ends, and then until the pulls under way are done
// or StopTimeout has passed. ready, if not nil, is called with the address once clients
// can connect.
func (c *Config) Run(ctx context.Context, ready func(net.Addr)) error {
	if err := c.Check(); err != nil {
		return err
	}
	hosts, err := c.hosts(telemetry.Hooks(log.G(ctx)))
	if err != nil {
		return err
	}
	defer hosts.CloseIdleConnections()
	pulls, err := c.pullSettings()
	if err != nil {
		return err
	}
	listener, err := c.listen(ctx)
	if err != nil {
		return err
	}
	logins := &dockerconfig.File{Path: c.DockerConfig, OnWarning: func(err error) { hosts.Hooks.OnWarning("", err) }}
	logins.Begin()
	server, err := newServer(options{
		Hosts: hosts, Credentials: logins.Credentials, All: c.Registries == RegistriesAll, Containerd: c.Containerd, ImageService: c.ImageService,
		Instance: instanceOf(listener), Lock: instanceOf(listener) + ".lock", HostsDir: instanceOf(listener) + ".hosts", Settings: pulls, Hooks: logHooks(log.G(ctx)),
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	metrics, err := c.serveMetrics(ctx, server)
	if err != nil {
		server.close()
		return errors.Join(err, listener.Close())
	}
	defer metrics()
	telemetry.CRI(status.CRIUses)
	defer telemetry.StartWatchEnds(ctx)()
	return c.serve(ctx, server, listener, ready)
}

// listen returns the socket that systemd has passed, or creates one.
func (c *Config) listen(ctx context.Context) (net.Listener, error) {
	inherited, err := daemon.Inherited()
	if err != nil {
		return nil, err
	}
	if len(inherited) > 1 || len(inherited) == 1 && inherited[0].Addr().Network() != "unix" {
		daemon.CloseAll(inherited)
		return nil, errors.New("systemd must pass exactly one socket, which has a path: see ListenStream= in the socket unit")
	}
	if len(inherited) == 1 {
		return inherited[0], nil
	}
	_, path, err := daemon.SplitAddress(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := safepath.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l, err := daemon.ListenUnix(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

func (c *Config) serve(ctx context.Context, server *server, listener net.Listener, ready func(net.Addr)) error {
	// Pulls under way outlive the signal to stop.
	lasting := context.WithoutCancel(ctx)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	prepared := make(chan struct{})
	go func() {
		defer close(prepared)
		server.Prepare(ctx)
	}()
	log.G(ctx).WithField("address", listener.Addr().String()).WithField("containerd", c.Containerd).Info("certsd cri: listening")
	c.notify(ctx, "READY=1")
	if ready != nil {
		ready(listener.Addr())
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	c.notify(lasting, "STOPPING=1")
	stop, cancel := context.WithTimeout(lasting, time.Duration(c.StopTimeout))
	defer cancel()
	server.Stop(stop)
	<-prepared
	return err
}

// notify reports the state of the process to systemd. A failure does not keep it from
// serving.
func (c *Config) notify(ctx context.Context, state string) {
	if err := daemon.Notify(state); err != nil {
		log.G(ctx).WithError(err).Warn("certsd cri: cannot notify systemd: " + state)
	}
}

// serveMetrics serves /metrics and the status until stop is called.
func (c *Config) serveMetrics(ctx context.Context, s *server) (stop func(), err error) {
	if c.Metrics == "" {
		return func() {}, nil
	}
	l, err := daemon.Listen(ctx, c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.Handler())
	for _, path := range statuspage.Paths {
		mux.Handle(path, s.statusHandler())
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	log.G(ctx).WithField("address", l.Addr().String()).Info("certsd cri: metrics")
	return func() {
		_ = server.Close()
		<-done
	}, nil
}

// logHooks returns hooks that log what a server reports.
func logHooks(logger *log.Entry) hooks {
	return hooks{
		OnPull: func(ctx context.Context, p finishedPull) {
			entry := logger.WithContext(ctx).WithFields(log.Fields{"ref": p.Ref, "took": p.Took.Round(time.Millisecond).String()})
			if p.Err != nil {
				entry.WithError(p.Err).Error("certsd cri: pull failed")
				return
			}
			if p.Image.Over != "" {
				entry = entry.WithField("over", p.Image.Over)
			}
			entry.WithFields(log.Fields{"id": p.Image.ID, "digest": p.Image.Digest, "snapshotter": p.Image.Snapshotter}).Info("certsd cri: pulled")
		},
		OnWarning: func(err error) { logger.WithError(err).Warn("certsd cri: part of the start failed and is tried again") },
	}
}
