// Package imageservice implements a CRI image service for the kubelet, in front of the
// one in a stock containerd.
//
// Its server pulls images from the registries that certs.d directories configure, and
// delivers them into containerd through its public API, with everything that CRI would
// have given them: names, labels, snapshots. It passes all other methods and streams,
// of this or a later version of CRI, through as bytes, unread. Run a [Config].
//
// The kubelet gets its socket as imageServiceEndpoint; containerd needs no other
// configuration and no other binary.
//
// Read it in the order of a call:
//
//	imageservice.go    which calls are pulls; pass_through.go forwards the others
//	pull.go            answers one; flight.go shares it between all who want the same
//	request.go         whether the image is ours to pull, with the credentials of auth.go
//	containerd.go      the containerd it goes to, by connection.go
//	cri_settings.go    how CRI would pull, as ask_containerd.go and containerd_config.go find out
//	delivery.go        one pull: already_there.go, fetch.go, progress_timeout.go
//	handover.go        containerd fetches plain images itself: plain_image.go, waiting.go
//	loopback.go        where it fetches them: probe.go, strangers.go, offer.go, offer_blob.go
//	ingester.go        the others' blobs go over its socket: ingest.go, ingest_buffers.go
//	image_record.go    the image's names and labels
//
// config.go and run.go are the daemon around it; at_start.go does the work at start,
// lease.go and alive_*.go keep the parts of an image from being removed.
package imageservice

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/certsd/containerd-certsd/internal/statusrpc"
	"github.com/certsd/containerd-certsd/resolver"
)

// options configure a server.
type options struct {
	// Hosts are the registries. nil means resolver.DefaultHosts.
	Hosts *resolver.Hosts
	// All pulls from every registry here, not only from those with a directory of
	// their own.
	All bool
	// Containerd is the address of containerd's socket. Empty means
	// [DefaultContainerd].
	Containerd string
	// ImageService is the address of the image service that gets all other calls, such
	// as a snapshotter's. Empty means containerd's own.
	ImageService string
	// Instance distinguishes this server from others of the same containerd. When it is
	// killed, the next one of that name removes the leases it leaves behind.
	Instance string
	// Lock is a file, created if missing, that shows processes of an instance which
	// others live and may still have pulls under way. Empty means there are no others.
	Lock string
	// HostsDir is a directory for files that lead containerd to the images that it is to
	// fetch itself. Empty means that all bytes pass through its socket.
	HostsDir string
	// Credentials returns user and secret for a host[:port] while an image of a
	// repository is pulled, if the kubelet sends none for it. Without a user the secret
	// is an identity token. nil means there are none.
	Credentials func(ctx context.Context, host, repository string) (user, secret string, err error)
	// Settings are the settings for pulls that override CRI's.
	Settings criSettings
	// Hooks observe what happens. They must not block.
	Hooks hooks
}

// DefaultContainerd is where containerd listens by default.
const DefaultContainerd = "/run/containerd/containerd.sock"

// server is the image service.
type server struct {
	options options
	hosts   *resolver.Hosts
	target  *target
	// other gets all other calls; it may be target's connection.
	other   *connection
	flights flights
	grpc    *grpc.Server
}

// newServer returns a server. It connects to containerd on demand: it can start before
// containerd does.
func newServer(o options) (*server, error) {
	if o.Hosts == nil {
		o.Hosts = resolver.DefaultHosts
	}
	if o.Containerd == "" {
		o.Containerd = DefaultContainerd
	}
	d, err := newTarget(o)
	if err != nil {
		return nil, err
	}
	s := &server{options: o, hosts: o.Hosts, target: d, other: d.connection}
	if o.ImageService != "" && o.ImageService != o.Containerd {
		if s.other, err = connect("the image service", o.ImageService, nil); err != nil {
			d.Close()
			return nil, err
		}
	}
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodec(rawCodec{}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.UnknownServiceHandler(s.handle),
	)
	return s, nil
}

// Serve answers on a listener until Stop is called.
func (s *server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Stop ends the server once its pulls are done or ctx ends. Other calls get a moment to
// finish. Then the connections to containerd are closed.
func (s *server) Stop(ctx context.Context) {
	gone := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(gone)
	}()
	select {
	case <-s.flights.none():
		// What is left is short calls, and streams without an end.
		select {
		case <-gone:
		case <-time.After(lastWords):
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	s.grpc.Stop()
	<-gone
	s.flights.cancel()
	s.close()
}

// lastWords is how long other calls may take once the pulls are done.
const lastWords = 2 * time.Second

func (s *server) close() {
	if s.other != s.target.connection {
		s.other.Close()
	}
	s.target.Close()
}

// handle handles all calls.
func (s *server) handle(_ any, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return errNoMethod
	}
	switch {
	case isPull(method):
		return s.pull(method, stream)
	case method == statusrpc.Method:
		return s.answerStatus(stream)
	}
	return s.other.pass(method, stream, nil)
}
