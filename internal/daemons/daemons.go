// Package daemons finds the running daemons of this module on a machine, and asks for
// their status.
package daemons

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	introspection "github.com/containerd/containerd/api/services/introspection/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

// Finder finds daemons.
type Finder struct {
	// Containerd and ImageService are the sockets of containerd and "certsd cri".
	Containerd, ImageService string
	// Gateway is a gateway's configuration, used for its state directory and its
	// addresses.
	Gateway *gateway.Config
}

// Answer is the answer of one daemon.
type Answer struct {
	// Daemon is [status.Plugin], [status.Gateway] or [status.ImageService].
	Daemon string `json:"daemon"`
	// Address is the address at which it was asked.
	Address string `json:"address"`
	// Status is its status, nil if it does not report one.
	Status *status.Status `json:"-"`
	// Runs reports whether something listens at the address.
	Runs bool `json:"runs"`
	// Stock reports whether it does not have the status service.
	Stock bool `json:"-"`
	// Why says why Status is nil.
	Why string `json:"why"`
}

// askTimeout bounds the time for an answer.
const askTimeout = 10 * time.Second

// Ask asks all daemons concurrently.
func (f *Finder) Ask(ctx context.Context) []Answer {
	asks := []func(context.Context) Answer{f.containerd, f.imageService, f.gateway}
	answers := make([]Answer, len(asks))
	var all sync.WaitGroup
	for i, ask := range asks {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			answers[i] = ask(ctx)
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.Status != nil {
			a.Status.Address = a.Address
		}
	}
	return answers
}

func (f *Finder) gateway(ctx context.Context) Answer {
	a := Answer{Daemon: status.Gateway}
	st, address, err := f.Gateway.Status(ctx)
	a.Status, a.Address = st, address
	switch {
	case err == nil:
		a.Runs = true
	case errors.Is(err, fs.ErrNotExist):
		a.Why = "no gateway runs"
	default:
		a.Runs, a.Why = true, words(err)
	}
	return a
}

func (f *Finder) imageService(ctx context.Context) Answer {
	return askSocket(ctx, status.ImageService, f.ImageService, "no certsd cri runs", func(context.Context, *grpc.ClientConn) string {
		return "the program that listens there is not certsd cri, or is an older version"
	})
}

// AskContainerd asks containerd alone.
func (f *Finder) AskContainerd(ctx context.Context) Answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f.containerd(ctx)
}

func (f *Finder) containerd(ctx context.Context) Answer {
	return askSocket(ctx, status.Plugin, f.Containerd, "no containerd runs", isStock)
}

// isStock returns why a containerd does not have the status service.
func isStock(ctx context.Context, conn *grpc.ClientConn) string {
	const stock = "this containerd is a stock one, without the plugin: it uses the certificates in certs.d as stock containerd does"
	plugins, err := introspection.NewIntrospectionClient(conn).Plugins(ctx, &introspection.PluginsRequest{Filters: []string{"id==certsd"}})
	if err != nil || len(plugins.GetPlugins()) == 0 {
		return stock
	}
	for _, p := range plugins.GetPlugins() {
		if e := p.GetInitErr(); e != nil && p.GetType() == "io.containerd.internal.v1" {
			return "this containerd has the plugin, which did not start: " + safetext.Line(e.GetMessage(), 300)
		}
	}
	return "this containerd has the plugin but does not use it: its log and certsd check say which stock plugin must be disabled"
}

// askSocket asks the service of statusrpc at a socket. absent is the reason if there is
// no socket; unknown returns the reason if the service is missing.
func askSocket(ctx context.Context, kind, address, absent string, unknown func(context.Context, *grpc.ClientConn) string) Answer {
	path := strings.TrimPrefix(strings.TrimPrefix(address, "unix://"), "unix:")
	a := Answer{Daemon: kind, Address: path}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		a.Why = absent
		return a
	}
	d := dialer{path: path}
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(d.dial))
	if err != nil {
		a.Why = words(err)
		return a
	}
	defer conn.Close()
	st, err := statusrpc.Get(ctx, conn)
	switch code := grpcstatus.Code(err); {
	case err == nil:
		a.Status, a.Runs = st, true
	case code == codes.Unimplemented:
		a.Runs, a.Stock, a.Why = true, true, unknown(ctx, conn)
	case code == codes.Unavailable && errors.Is(d.failure(), syscall.ECONNREFUSED):
		a.Why = absent
	case code == codes.Unavailable && errors.Is(d.failure(), fs.ErrPermission):
		a.Runs, a.Why = true, path+" cannot be asked: permission denied: run this as its owner, usually root"
	default:
		a.Runs, a.Why = true, words(err)
	}
	return a
}

// dialer connects to a socket and records why that failed: gRPC passes on only the text
// of a connection error.
type dialer struct {
	path string
	err  atomic.Pointer[error]
}

func (d *dialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", d.path)
	d.err.Store(&err)
	return conn, err
}

// failure returns why the last attempt to connect failed.
func (d *dialer) failure() error {
	if err := d.err.Load(); err != nil {
		return *err
	}
	return nil
}

func words(err error) string { return safetext.Line(err.Error(), 500) }
