package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// connection is a connection to a daemon on this machine. It is made on demand, and
// again after the daemon restarts; its errors name the daemon and its address.
type connection struct {
	*grpc.ClientConn
	// who and address appear in errors.
	who, address string
}

// again is the backoff for a daemon that does not answer.
var again = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// connect prepares a connection. onConnect, if not nil, is called for each new
// underlying one.
func connect(who, address string, onConnect func()) (*connection, error) {
	path, err := socketPath(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", who, err)
	}
	c := &connection{who: who, address: path}
	options := []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, path) }),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage), grpc.ForceCodecV2(newIngestCodec())),
		grpc.WithUnaryInterceptor(c.unary),
		grpc.WithStreamInterceptor(c.stream),
		grpc.WithDisableServiceConfig(),
	}
	if onConnect != nil {
		options = append(options, grpc.WithStatsHandler(connected(onConnect)))
	}
	c.ClientConn, err = grpc.NewClient("unix://"+path, options...)
	return c, err
}

const (
	// writeBuffer is how much is written at a time, sendBuffer how much the kernel
	// keeps until the daemon reads it: large buffers save switches between the
	// processes.
	writeBuffer = 128 << 10
	sendBuffer  = 1 << 20
)

func dial(ctx context.Context, path string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if u, ok := c.(*net.UnixConn); ok && err == nil {
		_ = u.SetWriteBuffer(sendBuffer) // it is only slower without
	}
	return c, err
}

// socketPath returns the path in an address, which may be a URL.
func socketPath(address string) (string, error) {
	path := strings.TrimPrefix(strings.TrimPrefix(address, "unix:"), "//")
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not the path of a socket, such as %s", address, DefaultContainerd)
	}
	return path, nil
}

// Close closes the connection.
func (c *connection) Close() { _ = c.ClientConn.Close() }

// unary names the daemon in errors of calls.
func (c *connection) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	c.wake(ctx)
	var header, trailer metadata.MD
	err := invoke(ctx, method, req, reply, cc, append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
	return c.named(err, header, trailer)
}

// stream names the daemon in errors of streams.
func (c *connection) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c.wake(ctx)
	s, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, c.named(err, nil, nil)
	}
	return &namedStream{s, c}, nil
}

// wakeTime is how long connecting to a socket on this machine may take.
const wakeTime = 200 * time.Millisecond

// wake reconnects at once where gRPC would still back off: the first call finds a
// daemon that has been started.
func (c *connection) wake(ctx context.Context) {
	if c.GetState() != connectivity.TransientFailure {
		return
	}
	c.ResetConnectBackoff()
	ctx, cancel := context.WithTimeout(ctx, wakeTime)
	defer cancel()
	c.WaitForStateChange(ctx, connectivity.TransientFailure)
}

// named adds the daemon's name to an error of the connection itself. The daemon's own
// errors come with a header or trailer and are left unchanged.
func (c *connection) named(err error, header, trailer metadata.MD) error {
	if err == nil || len(header)+len(trailer) > 0 {
		return err
	}
	st, ok := status.FromError(err)
	if !ok || st.Code() != codes.Unavailable {
		return err
	}
	return status.Errorf(codes.Unavailable, "%s at %s does not answer: %s: is it running?", c.who, c.address, st.Message())
}

type namedStream struct {
	grpc.ClientStream
	connection *connection
}

// RecvMsg implements grpc.ClientStream.
func (s *namedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return s.connection.named(err, nil, s.Trailer())
}

// connected is called for each connection.
type connected func()

var _ stats.Handler = connected(nil)

// TagRPC implements stats.Handler.
func (connected) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (connected) HandleRPC(context.Context, stats.RPCStats) {}

// TagConn implements stats.Handler.
func (connected) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (f connected) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnBegin); ok {
		f()
	}
}
