package imageservice

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/proto"
)

// noise is what cannot be taken for something else.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// storeBehind serves a content store as containerd does, and returns both ends.
func storeBehind(t *testing.T) (*ingester, content.Store) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	contentapi.RegisterContentServer(server, contentserver.New(store))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	c, err := connect("containerd", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return newIngester(c), store
}

func TestIngest(t *testing.T) {
	for _, size := range []int{0, 1, chunk / 4, chunk/4 + 1, chunk, 3*chunk + 7} {
		to, store := storeBehind(t)
		data := noise(size)
		desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(size)}
		// A reader as slow as a network.
		from := io.MultiReader(iotest.HalfReader(bytes.NewReader(data[:size/2])), bytes.NewReader(data[size/2:]))
		if err := content.WriteBlob(t.Context(), to, "blob", from, desc); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		got, err := content.ReadBlob(t.Context(), store, desc)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d that are the same: %t, %v", size, len(got), bytes.Equal(got, data), err)
		}
	}
}

// What is cut is told, and what has come by then is gone on with.
func TestIngestCut(t *testing.T) {
	errCut := errors.New("cut")
	to, store := storeBehind(t)
	data := noise(2*chunk + 5)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	cut := io.MultiReader(bytes.NewReader(data[:chunk+3]), iotest.ErrReader(errCut))
	if err := content.WriteBlob(t.Context(), to, "blob", cut, desc); !errors.Is(err, errCut) {
		t.Fatalf("got %v, want that it was cut", err)
	}
	if status, err := to.Status(t.Context(), "blob"); err != nil || status.Offset != chunk+3 {
		t.Errorf("%d bytes are there, want %d: %v", status.Offset, chunk+3, err)
	}
	if err := content.WriteBlob(t.Context(), to, "blob", bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	if got, err := content.ReadBlob(t.Context(), store, desc); err != nil || !bytes.Equal(got, data) {
		t.Errorf("got something else: %v", err)
	}
}

// A buffer of the caller's is his again after a write, one of a write that
// failed is nobody's.
func TestIngestBuffers(t *testing.T) {
	refused := errors.New("refused")
	kept := &keeper{err: refused}
	w := &ingest{Writer: kept}
	mine := noise(chunk)
	if n, err := w.Write(mine); n != 0 || !errors.Is(err, refused) {
		t.Fatalf("got %d, %v", n, err)
	}
	clear(mine)
	if !bytes.Equal(kept.seen, noise(chunk)) {
		t.Error("the connection reads from the caller's buffer")
	}
	// The pool may forget, but must not give out that one.
	for range 100 {
		b, _ := chunks.Get().(*[chunk]byte)
		if &b[0] == &kept.seen[0] {
			t.Fatal("a buffer that may still be read from is used again")
		}
	}
}

// The next bytes are read while the last are written, where there is room, and
// nobody reads any more once a write has failed.
func TestIngestReadsAhead(t *testing.T) {
	refused := errors.New("refused")
	for _, want := range []error{nil, refused} {
		from := &tallied{Reader: bytes.NewReader(noise(3 * chunk)), second: make(chan struct{})}
		to := &waiting{until: from.second, err: want, t: t}
		n, err := (&ingest{Writer: to}).ReadFrom(from)
		from.read++ // is ours again: the race detector looks
		if !errors.Is(err, want) || want == nil && n != 3*chunk {
			t.Errorf("%d bytes, %v, want %v", n, err, want)
		}
	}
	if len(ahead) != 0 {
		t.Errorf("%d places are taken", len(ahead))
	}
}

// Where there is no room, one buffer has to do.
func TestIngestIsBounded(t *testing.T) {
	for range cap(ahead) {
		ahead <- struct{}{}
		t.Cleanup(func() { <-ahead })
	}
	first, second, done := (&ingest{}).buffers()
	defer done(true)
	if len(first) != chunk || second != nil {
		t.Errorf("buffers of %d and %d bytes", len(first), len(second))
	}
	small, second, _ := (&ingest{size: 7}).buffers()
	if len(small) != 7 || second != nil {
		t.Errorf("buffers of %d and %d bytes for 7", len(small), len(second))
	}
	var out collected
	if n, err := (&ingest{Writer: &out}).ReadFrom(bytes.NewReader(noise(2*chunk + 1))); err != nil || n != 2*chunk+1 || !bytes.Equal(out.got, noise(2*chunk+1)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// tallied tells when more than a chunk has been read.
type tallied struct {
	io.Reader
	read   int
	second chan struct{}
}

func (c *tallied) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.read <= chunk && c.read+n > chunk {
		close(c.second)
	}
	c.read += n
	return n, err
}

// waiting is written once more has been read.
type waiting struct {
	content.Writer
	until chan struct{}
	err   error
	t     *testing.T
}

func (w *waiting) Write(p []byte) (int, error) {
	select {
	case <-w.until:
	case <-time.After(time.Minute):
		w.t.Error("nothing is read meanwhile")
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

type collected struct {
	content.Writer
	got []byte
}

func (c *collected) Write(p []byte) (int, error) {
	c.got = append(c.got, p...)
	return len(p), nil
}

type keeper struct {
	content.Writer
	seen []byte
	err  error
}

func (k *keeper) Write(p []byte) (int, error) {
	k.seen = p
	return 0, k.err
}

// The codec says what gRPC's own says.
func TestIngestCodec(t *testing.T) {
	for _, want := range []*contentapi.WriteContentRequest{
		{Action: contentapi.WriteAction_STAT, Ref: "blob", Total: 3, Expected: "sha256:1"},
		{Action: contentapi.WriteAction_WRITE, Offset: 1 << 40, Data: noise(300)},
		{
			Action: contentapi.WriteAction_COMMIT, Ref: "blob", Total: 1 << 33, Expected: "sha256:1", Offset: 7,
			Data: []byte{0}, Labels: map[string]string{"a": "b"},
		},
	} {
		data, err := newIngestCodec().Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got contentapi.WriteContentRequest
		if err := encoding.GetCodecV2(grpcproto.Name).Unmarshal(data, &got); err != nil || !proto.Equal(&got, want) {
			t.Errorf("got %v, want %v: %v", &got, want, err)
		}
	}
	if n := (&contentapi.WriteContentRequest{}).ProtoReflect().Descriptor().Fields().Len(); n != 7 {
		t.Errorf("the message has %d fields, not the 7 that the codec knows", n)
	}
}
