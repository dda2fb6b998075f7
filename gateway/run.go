package gateway

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/telemetry"
)

const (
	// maxHeader bounds the header of a request in bytes; net/http adds 4 KiB.
	maxHeader = 16 << 10
	// headerTimeout bounds the time to read a header, idleTimeout the time between
	// requests.
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Run serves as configured until ctx ends, and then until the requests in progress are
// done or StopTimeout is over. ready, if not nil, is called with the addresses once
// clients can connect.
func (c *Config) Run(ctx context.Context, credentials func(host, repository string) (user, secret string, err error), ready func(addresses []net.Addr)) error {
	if err := c.Check(); err != nil {
		return err
	}
	hosts, err := c.hosts(telemetry.Hooks(log.G(ctx)))
	if err != nil {
		return err
	}
	defer hosts.CloseIdleConnections()
	store, err := openStore(c.State, int64(c.StoreSize))
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	defer store.Close()
	secret, err := ownSecret(c.State)
	if err != nil {
		return fmt.Errorf("the gateway's secret: %w", err)
	}
	defer secret.Close()
	secret.Grace = time.Duration(c.SecretGrace)
	// Requests in progress outlive the signal to stop: they end below.
	lasting := context.WithoutCancel(ctx)
	store.room.tidy(lasting)
	defer every(time.Hour, func() { store.room.tidy(lasting) })()
	defer telemetry.StartWatchEnds(lasting)()
	certs, err := readCertificates(ctx, c)
	if err != nil {
		return err
	}
	options := options{
		Hosts: hosts, Credentials: credentials, Secret: secret, Store: store,
		AllowAnyLocal: c.AllowAnyLocal, PassCredentials: c.PassCredentials, Upstreams: c.Upstreams, Names: c.HostNames, MaxDownloads: c.MaxDownloads,
		MaxUpstream: c.MaxUpstream, WriteStall: time.Duration(c.WriteStall),
		SpoolDir: c.State, SpoolSize: int64(c.SpoolSize),
	}
	if certs != nil {
		options.StillTrusts = certs.stillTrusts
	}
	handler, err := newServer(lasting, options)
	if err != nil {
		return err
	}
	defer handler.Close()
	telemetry.Configured(slices.Collect(maps.Keys(handler.upstreams.named))...)
	c.warnOfNothing(ctx)
	listeners, err := c.sockets().listen(ctx, certs)
	if err != nil {
		return err
	}
	defer announce(ctx, secret.dir, listeners, listening{TLS: certs != nil, Certificate: c.TLSCert, SecretGrace: secret.grace()})()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return lasting },
		ConnContext:       withConn,
		ConnState:         track,
	}
	server.ErrorLog = stdlog.New(errorLog{lasting}, "", 0)
	server.RegisterOnShutdown(func() { handler.stopping.Store(true) })
	return serve(ctx, server, listeners, time.Duration(c.StopTimeout), ready)
}

// warnOfNothing warns if every request will be refused.
func (c *Config) warnOfNothing(ctx context.Context) {
	names, err := c.upstreams()
	if err == nil && len(names) > 0 {
		return
	}
	logger := log.G(ctx).WithField("root", c.roots().String())
	if err != nil {
		logger = logger.WithError(err)
	}
	logger.Warn("certsd gateway: there is no registry to ask")
}

// serve serves until ctx ends, and gives the requests in progress stopTimeout to
// finish.
func serve(ctx context.Context, server *http.Server, listeners []net.Listener, stopTimeout time.Duration, ready func([]net.Addr)) error {
	failed := make(chan error, len(listeners))
	var addresses []net.Addr
	for _, l := range listeners {
		addresses = append(addresses, l.Addr())
		log.G(ctx).WithField("address", l.Addr().String()).Info("certsd gateway: listening")
		go func() { failed <- server.Serve(l) }()
	}
	notify(ctx, "READY=1")
	if ready != nil {
		ready(addresses)
	}
	var err error
	left := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	notify(context.WithoutCancel(ctx), "STOPPING=1")
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if stopErr := server.Shutdown(stop); stopErr != nil {
		err = errors.Join(err, server.Close())
	}
	for range left {
		err = errors.Join(err, unlessClosed(<-failed))
	}
	return err
}

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// errorLog receives net/http's messages about connections: any client can cause
// them, so they are logged at debug level.
type errorLog struct {
	//nolint:containedctx // an io.Writer is given none
	ctx context.Context
}

// Write implements io.Writer.
func (l errorLog) Write(p []byte) (int, error) {
	log.G(l.ctx).WithField("said", strings.TrimSpace(string(p))).Debug("certsd gateway: connection")
	return len(p), nil
}
