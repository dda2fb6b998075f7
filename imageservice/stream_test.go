package imageservice

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// events is a runtime with CRI's one stream: it sends until the client hangs up.
type events struct {
	runtime.UnimplementedRuntimeServiceServer

	next chan string
	gone chan struct{}
	fail error
}

func (e *events) GetContainerEvents(_ *runtime.GetEventsRequest, to grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	defer close(e.gone)
	for {
		select {
		case id, ok := <-e.next:
			if !ok {
				return e.fail
			}
			if err := to.Send(&runtime.ContainerEventResponse{ContainerId: id}); err != nil {
				return err
			}
		case <-to.Context().Done():
			return to.Context().Err()
		}
	}
}

// TestAStreamIsPassedOnAsItComes has a stream of the server's with no end: each
// message arrives before the next is sent, and who hangs up is gone behind us, too.
func TestAStreamIsPassedOnAsItComes(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{"hang up": nil, "end": io.EOF, "failure": status.Error(codes.Aborted, "no more")} {
		e := &events{next: make(chan string), gone: make(chan struct{})}
		if !errors.Is(end, io.EOF) {
			e.fail = end
		}
		address := filepath.Join(t.TempDir(), "b")
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", address)
		must(t, err)
		server := grpc.NewServer()
		runtime.RegisterRuntimeServiceServer(server, e)
		go server.Serve(l) //nolint:errcheck // it is stopped
		t.Cleanup(server.Stop)

		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		stream, err := runtime.NewRuntimeServiceClient(front(t, address)).GetContainerEvents(ctx, &runtime.GetEventsRequest{})
		must(t, err)
		for _, id := range []string{"one", "two", "three"} {
			e.next <- id
			event, err := stream.Recv()
			if err != nil || event.GetContainerId() != id {
				t.Fatalf("%s: got %v, %v, want %s", name, event, err, id)
			}
		}
		if end == nil {
			hangUp()
			<-e.gone
			continue
		}
		close(e.next)
		if _, err := stream.Recv(); status.Code(err) != status.Code(end) || status.Code(end) == codes.Aborted && status.Convert(err).Message() != "no more" {
			t.Errorf("%s: got %v, want %v", name, err, end)
		}
		<-e.gone
	}
}
