package imageservice

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// isPull reports whether a method is PullImage of any version: its message is the same
// in all.
func isPull(method string) bool {
	return strings.HasPrefix(method, "/runtime.v1") && strings.HasSuffix(method, ".ImageService/PullImage")
}

// pull pulls images of our registries, and passes other calls on unchanged.
func (s *server) pull(method string, stream grpc.ServerStream) error {
	var first frame
	if err := stream.RecvMsg(&first); err != nil {
		return err
	}
	var message runtime.PullImageRequest
	if err := decode(first.bytes, &message); err != nil {
		return status.Errorf(codes.InvalidArgument, "PullImage: %v", err)
	}
	req, err := s.ours(&message)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if req == nil {
		defer s.flights.count()()
		return s.other.pass(method, stream, &first)
	}
	id, err := s.image(stream.Context(), req)
	if err != nil {
		return asStatus(err)
	}
	answer, err := encode(&runtime.PullImageResponse{ImageRef: id})
	if err != nil {
		return err
	}
	return stream.SendMsg(answer)
}

// image pulls an image, sharing the pull with all callers that want the same, and
// returns its ID once CRI knows it.
func (s *server) image(ctx context.Context, req *request) (string, error) {
	return s.flights.join(ctx, req.key(), func(ctx context.Context) (string, error) {
		began := time.Now()
		pulled, err := s.target.pull(ctx, s.hosts, req)
		if s.options.Hooks.OnPull != nil {
			s.options.Hooks.OnPull(ctx, finishedPull{Ref: req.ref, Image: pulled, Took: time.Since(began), Err: err})
		}
		return pulled.ID, err
	})
}

// asStatus returns an error as a gRPC status, which the kubelet shows.
func asStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	text := err.Error()
	var e *resolver.Error
	if errors.As(err, &e) {
		// Its own text includes all that containerd's client adds.
		text = e.Error()
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	default:
		if st, ok := status.FromError(errgrpc.ToGRPC(err)); ok {
			code = st.Code()
		}
	}
	return status.Error(code, "certsd cri: "+text)
}

// hooks observe what a server does.
type hooks struct {
	// OnPull is called once at the end of each pull, however many callers shared it.
	OnPull func(context.Context, finishedPull)
	// OnWarning is called with problems that do not make a pull fail.
	OnWarning func(error)
}

// finishedPull is a pull that has ended.
type finishedPull struct {
	// Ref is the reference, as CRI spells it.
	Ref string
	// Image is the result, Err the failure.
	Image pulledImage
	Took  time.Duration
	Err   error
}

// pulledImage is an image in containerd.
type pulledImage struct {
	// ID is the digest of its configuration, Digest the one that the reference resolves
	// to.
	ID, Digest string
	// Snapshotter is the one that holds it unpacked.
	Snapshotter string
	// Over is how it came into containerd, "loopback" or "socket". Empty means that it
	// was there.
	Over string
}
