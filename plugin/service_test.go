package plugin

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	transferapi "github.com/containerd/containerd/api/services/transfer/v1"
	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/streaming"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/typeurl/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// stockService keeps what it was asked for.
type stockService struct {
	transferapi.UnimplementedTransferServer
	ctx context.Context
	req *transferapi.TransferRequest
	err error
}

func (s *stockService) Transfer(ctx context.Context, req *transferapi.TransferRequest) (*emptypb.Empty, error) {
	s.ctx, s.req = ctx, req
	return &emptypb.Empty{}, s.err
}

// clientStreams are the streams a client opened.
type clientStreams map[string]*memoryStream

func (c clientStreams) Get(_ context.Context, id string) (streaming.Stream, error) {
	if s, ok := c[id]; ok {
		return s, nil
	}
	return nil, errdefs.ErrNotFound
}

func anyOf(t *testing.T, m any) *anypb.Any {
	t.Helper()
	a, err := typeurl.MarshalAnyToProto(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWishesOfAGRPCClientReachTheTransferPlugin(t *testing.T) {
	t.Parallel()
	near, far := newStreamPair()
	stock := &stockService{}
	s := &service{stock: stock, streams: clientStreams{"log": near}}
	image := anyOf(t, &transfertypes.ImageStore{Name: "app"})
	_, err := s.Transfer(t.Context(), &transferapi.TransferRequest{
		Source: anyOf(t, &transfertypes.OCIRegistry{Reference: "registry.test/app:1", Resolver: &transfertypes.RegistryResolver{
			HostDir: "/a:/b", DefaultScheme: "http", AuthStream: "auth", Headers: map[string]string{"X-Team": "green"},
			HttpDebug: transfertypes.HTTPDebug_BOTH, LogsStream: "log",
		}}),
		Destination: image,
		Options:     &transferapi.TransferOptions{ProgressStream: "progress"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := wishesFrom(stock.ctx, sourceRole)
	if got == nil || got.hostDir != "/a:/b" || got.scheme != "http" || !got.dump || !got.trace || got.log == nil {
		t.Errorf("wishes %+v", got)
	}
	if w := wishesFrom(stock.ctx, targetRole); w != nil {
		t.Errorf("an image store wishes %+v", w)
	}
	var rest transfertypes.OCIRegistry
	if err := typeurl.UnmarshalTo(stock.req.GetSource(), &rest); err != nil {
		t.Fatal(err)
	}
	if rest.GetReference() != "registry.test/app:1" || rest.GetResolver().GetAuthStream() != "auth" ||
		rest.GetResolver().GetHeaders()["X-Team"] != "green" {
		t.Errorf("lost on the way: %v", &rest)
	}
	if rest.GetResolver().GetLogsStream() != "" || rest.GetResolver().GetHttpDebug() != transfertypes.HTTPDebug_DISABLED {
		t.Errorf("the stock service would take the client's stream: %v", &rest)
	}
	if diff := cmp.Diff(image.GetValue(), stock.req.GetDestination().GetValue()); diff != "" || stock.req.GetOptions().GetProgressStream() != "progress" {
		t.Errorf("the rest of the request changed:\n%s", diff)
	}
	// The client waits for the end of its debug output.
	if _, err := far.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the log is not closed: %v", err)
	}
}

func TestRequestsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	s := &service{stock: &stockService{}, streams: clientStreams{}}
	registry := anyOf(t, &transfertypes.OCIRegistry{Reference: "registry.test/app:1", Resolver: &transfertypes.RegistryResolver{
		HttpDebug: transfertypes.HTTPDebug_DEBUG, LogsStream: "unknown",
	}})
	if _, err := s.Transfer(t.Context(), &transferapi.TransferRequest{Source: registry}); err == nil || !strings.Contains(err.Error(), "stream for debug output") {
		t.Errorf("unknown stream: %v", err)
	}
	broken := &anypb.Any{TypeUrl: registry.GetTypeUrl(), Value: []byte{0xff}}
	if _, err := s.Transfer(t.Context(), &transferapi.TransferRequest{Destination: broken}); err == nil || !strings.Contains(err.Error(), "registry in the transfer request") {
		t.Errorf("broken message: %v", err)
	}
}

// TestServiceStaysStockBesideTheStockTransferPlugin: with only the stock
// service disabled, nobody would read the wishes that ours hands on.
func TestServiceStaysStockBesideTheStockTransferPlugin(t *testing.T) {
	t.Parallel()
	stock := &stockService{}
	set := plugin.NewPluginSet()
	fake(t, set, plugins.TransferPlugin, "local", struct{}{}, nil)
	fake(t, set, plugins.TransferPlugin, pluginID, nil, plugin.ErrSkipPlugin)
	fake(t, set, plugins.StreamingPlugin, "manager", clientStreams{}, nil)
	if got, err := newService(initContext(t, set, io.Discard), nil, stock); got != any(stock) || err != nil {
		t.Errorf("got %T %v", got, err)
	}
	set = plugin.NewPluginSet()
	fake(t, set, plugins.TransferPlugin, pluginID, struct{}{}, nil)
	fake(t, set, plugins.StreamingPlugin, "manager", clientStreams{}, nil)
	if got, err := newService(initContext(t, set, io.Discard), nil, stock); err != nil {
		t.Error(err)
	} else if _, ok := got.(*service); !ok {
		t.Errorf("got %T", got)
	}
}
