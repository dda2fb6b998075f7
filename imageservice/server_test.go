package imageservice

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// backend is an image service that takes all methods, and answers each message
// with the same one.
type backend struct {
	address string

	mu   sync.Mutex // guards the rest
	seen []string
	md   metadata.MD
	got  [][]byte
	fail error
}

func (b *backend) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := metadata.FromIncomingContext(stream.Context())
	b.mu.Lock()
	b.seen, b.md = append(b.seen, method), md
	fail := b.fail
	b.mu.Unlock()
	stream.SetTrailer(metadata.Pairs("last", "words"))
	if fail != nil {
		return fail
	}
	if err := stream.SendHeader(metadata.Pairs("first", "words")); err != nil {
		return err
	}
	for {
		var f frame
		if err := stream.RecvMsg(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		b.mu.Lock()
		b.got = append(b.got, slices.Clone(f.bytes))
		b.mu.Unlock()
		if err := stream.SendMsg(&f); err != nil {
			return err
		}
	}
}

func startBackend(t *testing.T, address string) *backend {
	t.Helper()
	b := &backend{address: address}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", address)
	must(t, err)
	server := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.MaxRecvMsgSize(maxMessage), grpc.UnknownServiceHandler(b.handle))
	go server.Serve(l) //nolint:errcheck // it is stopped
	t.Cleanup(server.Stop)
	return b
}

// front is a server of ours in front of address, and a connection to it.
func front(t *testing.T, address string, roots ...string) *grpc.ClientConn {
	t.Helper()
	if roots == nil {
		roots = []string{t.TempDir()}
	}
	s, err := newServer(options{Containerd: address, Hosts: &resolver.Hosts{Roots: certsd.Roots(roots)}})
	must(t, err)
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	go s.Serve(l) //nolint:errcheck // it is stopped
	t.Cleanup(func() { s.Stop(context.Background()) })
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestEveryMethodIsPassedOn has a method and a kind of stream that no version of
// CRI has.
func TestEveryMethodIsPassedOn(t *testing.T) {
	t.Parallel()
	b := startBackend(t, filepath.Join(t.TempDir(), "b"))
	conn := front(t, b.address)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "who", "kubelet")
	stream, err := conn.NewStream(ctx, bothWays, "/runtime.v9.ImageService/StreamOfTomorrow", grpc.ForceCodec(rawCodec{}))
	must(t, err)
	for _, text := range []string{"\xff\x00 no protobuf", "", strings.Repeat("x", 5<<20)} {
		must(t, stream.SendMsg(&frame{[]byte(text)}))
		var f frame
		must(t, stream.RecvMsg(&f))
		if string(f.bytes) != text {
			t.Errorf("%d bytes became %d", len(text), len(f.bytes))
		}
	}
	if header, err := stream.Header(); err != nil || header["first"][0] != "words" {
		t.Errorf("header %v %v", header, err)
	}
	must(t, stream.CloseSend())
	if err := stream.RecvMsg(&frame{}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if trailer := stream.Trailer(); trailer["last"][0] != "words" {
		t.Errorf("trailer %v", trailer)
	}
	if got := b.md["who"]; !slices.Equal(got, []string{"kubelet"}) {
		t.Errorf("metadata %v", b.md)
	}
	if !slices.Equal(b.seen, []string{"/runtime.v9.ImageService/StreamOfTomorrow"}) {
		t.Errorf("%v", b.seen)
	}
}

// TestErrorsArePassedOn has the words of the other side, also for what looks like
// an error of the connection.
func TestErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	b := startBackend(t, filepath.Join(t.TempDir(), "b"))
	service := runtime.NewImageServiceClient(front(t, b.address))
	for _, want := range []error{status.Error(codes.NotFound, "no such image"), status.Error(codes.Unavailable, "later")} {
		b.mu.Lock()
		b.fail = want
		b.mu.Unlock()
		_, err := service.ListImages(t.Context(), &runtime.ListImagesRequest{})
		if status.Code(err) != status.Code(want) || status.Convert(err).Message() != status.Convert(want).Message() {
			t.Errorf("%v became %v", want, err)
		}
	}
}

// TestPullsOfOtherRegistriesArePassedOn as bytes, with what this version of CRI
// does not know.
func TestPullsOfOtherRegistriesArePassedOn(t *testing.T) {
	t.Parallel()
	b := startBackend(t, filepath.Join(t.TempDir(), "b"))
	conn := front(t, b.address)
	request, err := encode(&runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: "other.test/app:1"}})
	must(t, err)
	want := append(request.bytes, 0xfa, 0x3e, 0x03, 'n', 'e', 'w') // field 1007
	for _, version := range []string{"v1", "v1alpha2"} {
		var answer frame
		must(t, conn.Invoke(t.Context(), "/runtime."+version+".ImageService/PullImage", &frame{want}, &answer, grpc.ForceCodec(rawCodec{})))
	}
	for _, reference := range []string{"NO:REF:ERENCE", "sha256:" + strings.Repeat("0", 64)} {
		_, err := runtime.NewImageServiceClient(conn).PullImage(t.Context(), &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: reference}})
		must(t, err)
	}
	if len(b.got) != 4 || string(b.got[0]) != string(want) || string(b.got[1]) != string(want) {
		t.Errorf("got %q", b.got)
	}
}

// TestAPullThatIsOursIsNotPassedOn where its directory is broken, and where the
// daemon it would be pulled into says no.
func TestAPullThatIsOursIsNotPassedOn(t *testing.T) {
	t.Parallel()
	b := startBackend(t, filepath.Join(t.TempDir(), "b"))
	b.fail = status.Error(codes.Internal, "no")
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "registry.test"), 0o755))
	must(t, os.MkdirAll(filepath.Join(root, "broken.test"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "broken.test", "hosts.toml"), []byte("server = "), 0o600))
	service := runtime.NewImageServiceClient(front(t, b.address, root))
	for ref, want := range map[string]string{"registry.test/app:1": "no", "broken.test/app:1": "broken.test/hosts.toml:1"} {
		_, err := service.PullImage(t.Context(), &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: ref}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, method := range b.seen {
		if isPull(method) {
			t.Error("it was handed on")
		}
	}
}

// TestADaemonThatIsAwayIsNamed, and found again.
func TestADaemonThatIsAwayIsNamed(t *testing.T) {
	t.Parallel()
	address := filepath.Join(t.TempDir(), "b")
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "registry.test"), 0o755))
	service := runtime.NewImageServiceClient(front(t, address, root))
	_, passed := service.ListImages(t.Context(), &runtime.ListImagesRequest{})
	_, ours := service.PullImage(t.Context(), &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: "registry.test/app:1"}})
	for _, err := range []error{passed, ours} {
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "containerd at "+address+" does not answer") {
			t.Errorf("got %v", err)
		}
	}
	startBackend(t, address)
	if _, err := service.ListImages(t.Context(), &runtime.ListImagesRequest{}); err != nil {
		t.Errorf("the first call after it was started: %v", err)
	}
}
