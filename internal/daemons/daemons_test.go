package daemons

import (
	"net"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/certsd/containerd-certsd/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A socket that a daemon has left behind is not one that listens.
func TestSocketsWithoutStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left, other := filepath.Join(dir, "left.sock"), filepath.Join(dir, "other.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", left)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:errcheck,forcetypeassert // it is one
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = (&net.ListenConfig{}).Listen(t.Context(), "unix", other)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	for path, want := range map[string]Answer{
		filepath.Join(dir, "none.sock"): {Why: "no certsd cri runs"},
		left:                            {Why: "no certsd cri runs"},
		other:                           {Runs: true, Stock: true, Why: "the program that listens there is not certsd cri, or is an older version"},
	} {
		want.Daemon, want.Address = status.ImageService, path
		got := (&Finder{ImageService: "unix://" + path}).imageService(t.Context())
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
