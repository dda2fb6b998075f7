package plugin

import (
	"context"
	"fmt"
	"io"

	transferapi "github.com/containerd/containerd/api/services/transfer/v1"
	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/streaming"
	tstreaming "github.com/containerd/containerd/v2/core/transfer/streaming"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
	"github.com/certsd/containerd-certsd/internal/telemetry"
)

// service is the stock gRPC transfer service, and also passes the client's wishes on
// in the context.
type service struct {
	transferapi.UnimplementedTransferServer
	stock   transferapi.TransferServer
	streams streaming.StreamGetter
	// status reports what is in use.
	status statusrpc.Snapshot
}

var _ transferapi.TransferServer = (*service)(nil)

func newService(ic *plugin.InitContext, settings *settings, stock any) (any, error) {
	if _, err := ic.GetByID(plugins.TransferPlugin, pluginID); err != nil {
		// Our transfer plugin stays out if the stock one is enabled, which would
		// ignore wishes: the service remains the stock one, too.
		return stock, nil //nolint:nilerr // why it stays out is in the log already
	}
	t, ok := stock.(transferapi.TransferServer)
	if !ok {
		return nil, fmt.Errorf("the transfer service is a %T", stock)
	}
	m, err := ic.GetByID(plugins.StreamingPlugin, "manager")
	if err != nil {
		return nil, err
	}
	streams, ok := m.(streaming.StreamGetter)
	if !ok {
		return nil, fmt.Errorf("the streaming manager is a %T", m)
	}
	warnOfCRI(ic.Context, registry.Graph(func(*plugin.Registration) bool { return false }))
	tellVersions()
	go telemetry.WatchEnds(ic.Context) // it ends with containerd
	cri := criIn(ic)
	telemetry.CRI(cri)
	return &service{stock: t, streams: streams, status: func() *status.Status { return settings.status(cri) }}, nil
}

// Register adds this service and the status service to containerd's gRPC server.
func (s *service) Register(server *grpc.Server) error {
	transferapi.RegisterTransferServer(server, s)
	statusrpc.Register(server, s.status)
	return nil
}

// Transfer implements the transfer API.
func (s *service) Transfer(ctx context.Context, req *transferapi.TransferRequest) (*emptypb.Empty, error) {
	source, target, err := s.takeBoth(ctx, req)
	defer source.close(ctx)
	defer target.close(ctx)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	ctx = context.WithValue(ctx, sourceRole, source.wishes)
	ctx = context.WithValue(ctx, targetRole, target.wishes)
	return s.stock.Transfer(ctx, &transferapi.TransferRequest{
		Source:      source.message,
		Destination: target.message,
		Options:     req.GetOptions(),
	})
}

// close ends the client's debug output. A client that is already gone does not fail
// the transfer.
func (s side) close(ctx context.Context) {
	if s.wishes == nil || s.wishes.log == nil {
		return
	}
	if err := s.wishes.log.Close(); err != nil {
		log.G(ctx).WithError(err).Debug("certsd: closing the client's stream for debug output")
	}
}

// role distinguishes a transfer's source from its target; it is also the context key
// of their wishes.
type role int

const (
	sourceRole role = iota
	targetRole
)

// wishesFrom returns the wishes of a gRPC client, nil for a caller in this process.
func wishesFrom(ctx context.Context, r role) *wishes {
	w, ok := ctx.Value(r).(*wishes)
	if !ok {
		return nil
	}
	return w
}

// side is a source or target on its way to the stock service.
type side struct {
	message *anypb.Any
	// wishes is nil for anything but a registry.
	wishes *wishes
}

func (s *service) takeBoth(ctx context.Context, req *transferapi.TransferRequest) (source, target side, err error) {
	if source, err = s.take(ctx, req.GetSource()); err != nil {
		return source, target, err
	}
	target, err = s.take(ctx, req.GetDestination())
	return source, target, err
}

// take extracts the wishes from a registry's message. The stock service must not see
// those for debug output: it would use up the client's stream for a resolver that is
// never used.
func (s *service) take(ctx context.Context, message *anypb.Any) (side, error) {
	if message == nil || !typeurl.Is(message, (*transfertypes.OCIRegistry)(nil)) {
		return side{message: message}, nil
	}
	var m transfertypes.OCIRegistry
	if err := typeurl.UnmarshalTo(message, &m); err != nil {
		return side{}, fmt.Errorf("%w: registry in the transfer request: %w", errdefs.ErrInvalidArgument, err)
	}
	if m.Resolver == nil {
		return side{message: message, wishes: &wishes{}}, nil
	}
	w := wishesOf(m.Resolver)
	if id := m.Resolver.LogsStream; id != "" && (w.dump || w.trace) {
		stream, err := s.logStream(ctx, id)
		if err != nil {
			return side{}, err
		}
		w.log = stream
	}
	m.Resolver.HttpDebug = transfertypes.HTTPDebug_DISABLED
	m.Resolver.LogsStream = ""
	rest, err := typeurl.MarshalAnyToProto(&m)
	if err != nil {
		return side{}, err
	}
	return side{message: rest, wishes: &w}, nil
}

func (s *service) logStream(ctx context.Context, id string) (io.WriteCloser, error) {
	stream, err := s.streams.Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("the client's stream for debug output: %w", err)
	}
	return tstreaming.WriteByteStream(ctx, stream), nil
}
