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

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/status"
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
	store, err := local.NewLabeledStore(t.TempDir(), labelled{})
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

// labelled are the labels of blobs.
type labelled map[digest.Digest]map[string]string

var _ local.LabelStore = labelled(nil)

func (l labelled) Get(d digest.Digest) (map[string]string, error) { return l[d], nil }

func (l labelled) Set(d digest.Digest, labels map[string]string) error {
	l[d] = labels
	return nil
}

func (l labelled) Update(d digest.Digest, labels map[string]string) (map[string]string, error) {
	return labels, l.Set(d, labels)
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

// What was begun with other bytes is not taken for the blob, and nor is what is
// more than there is to be.
func TestIngestIsVerified(t *testing.T) {
	for name, c := range map[string]struct {
		size        int
		begun, more []byte
	}{
		"a small one that was begun with other bytes": {size: 100, begun: []byte("other bytes")},
		"a large one that was begun with other bytes": {size: 2 * chunk, begun: bytes.Repeat([]byte("x"), chunk+1)},
		"a small one with more":                       {size: 100, more: []byte("x")},
		"a large one with more":                       {size: 2 * chunk, more: bytes.Repeat([]byte("x"), chunk)},
	} {
		to, store := storeBehind(t)
		data := noise(c.size)
		desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
		if c.begun != nil {
			w, err := to.Writer(t.Context(), content.WithRef("blob"), content.WithDescriptor(desc))
			must(t, err)
			_, err = w.Write(c.begun)
			must(t, errors.Join(err, w.Close()))
		}
		err := content.WriteBlob(t.Context(), to, "blob", bytes.NewReader(append(data, c.more...)), desc)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := store.Info(t.Context(), desc.Digest); !errdefs.IsNotFound(err) {
			t.Errorf("%s: it is there: %v", name, err)
		}
	}
}

// A writer that is closed has left what it was given, and the blob to others.
func TestIngestIsGoneOnWith(t *testing.T) {
	to, store := storeBehind(t)
	data := noise(100)
	for i := range data {
		w, err := to.Writer(t.Context(), content.WithRef("blob"))
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		status, err := w.Status()
		if err != nil || status.Offset != int64(i) {
			t.Fatalf("%d bytes are there, want %d: %v", status.Offset, i, err)
		}
		_, err = w.Write(data[i : i+1])
		must(t, errors.Join(err, w.Close()))
	}
	w, err := to.Writer(t.Context(), content.WithRef("blob"))
	must(t, err)
	must(t, w.Commit(t.Context(), 100, ""))
	if _, err := store.Info(t.Context(), digest.FromBytes(data)); err != nil || w.Digest() != digest.FromBytes(data) {
		t.Errorf("%s: %v", w.Digest(), err)
	}
}

// Whoever writes what he does not know is told what it was, though it was there,
// and may begin again.
func TestIngestOfUnknownBlobs(t *testing.T) {
	to, _ := storeBehind(t)
	data := noise(100)
	for _, want := range []error{nil, errdefs.ErrAlreadyExists} {
		w, err := to.Writer(t.Context(), content.WithRef("blob"))
		must(t, err)
		_, err = w.Write(noise(chunk + 1))
		must(t, errors.Join(err, w.Truncate(0)))
		_, err = w.Write(data)
		must(t, err)
		if err := w.Commit(t.Context(), 100, ""); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if w.Digest() != digest.FromBytes(data) {
			t.Errorf("it is called %s", w.Digest())
		}
	}
}

// What is fetched is labelled at once, and nothing else is.
func TestIngestLabels(t *testing.T) {
	base, store := storeBehind(t)
	to := base.labelling(map[string]string{"from": "here"})
	for name, desc := range map[string]ocispec.Descriptor{"fetched": {Size: 7}, "made": {}} {
		data := []byte(name[:1] + "234567")
		dgst := digest.FromBytes(data)
		if desc.Size > 0 {
			desc.Digest = dgst
		}
		w, err := to.Writer(t.Context(), content.WithRef(name), content.WithDescriptor(desc))
		must(t, err)
		_, err = w.Write(data)
		must(t, err)
		must(t, w.Commit(t.Context(), 7, dgst, content.WithLabels(map[string]string{"its": "own"})))
		info, err := store.Info(t.Context(), dgst)
		must(t, err)
		if fetched := desc.Size > 0; to.has(dgst) != fetched || (info.Labels["from"] == "here") != fetched || info.Labels["its"] != "own" {
			t.Errorf("%s: %t, %v", name, to.has(dgst), info.Labels)
		}
	}
	if base.has(digest.FromString("")) {
		t.Error("a store without labels has given some")
	}
}

// told answers what is said to it, as containerd does.
type told struct {
	contentapi.Content_WriteClient

	said    []*contentapi.WriteContentRequest
	answers []*contentapi.WriteContentResponse
	offset  int64
	// before, if not nil, is called before the answer to a message.
	before func(*contentapi.WriteContentRequest) error
}

func (s *told) Send(m *contentapi.WriteContentRequest) error {
	s.said = append(s.said, m)
	s.offset += int64(len(m.Data))
	s.answers = append(s.answers, &contentapi.WriteContentResponse{Action: m.GetAction(), Offset: s.offset, Digest: m.GetExpected()})
	return nil
}

func (s *told) Recv() (*contentapi.WriteContentResponse, error) {
	if len(s.answers) == 0 {
		return nil, io.EOF
	}
	if s.before != nil {
		if err := s.before(s.said[len(s.said)-len(s.answers)]); err != nil {
			return nil, err
		}
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a, nil
}

func (s *told) CloseSend() error { return nil }

// ingestOf is a writer for a blob of that size.
func ingestOf(t *testing.T, s *told, size int) *ingest {
	t.Helper()
	w := &ingest{stream: s}
	w.wanted.Ref, w.wanted.Desc.Size = "blob", int64(size)
	must(t, w.open())
	return w
}

// The last piece of a blob goes along with the commit, and is the only one of a
// small blob.
func TestIngestTurns(t *testing.T) {
	for size, want := range map[int]int{1: 2, chunk: 2, chunk + 1: 3, 3 * chunk: 4} {
		s := &told{}
		data := noise(size)
		must(t, content.Copy(t.Context(), ingestOf(t, s, size), bytes.NewReader(data), int64(size), digest.FromBytes(data)))
		if last := s.said[len(s.said)-1]; len(s.said) != want || last.GetAction() != contentapi.WriteAction_COMMIT || len(last.GetData()) == 0 {
			t.Errorf("%d bytes took %d messages, want %d, the last one with %d bytes", size, len(s.said), want, len(last.GetData()))
		}
	}
}

// A buffer of the caller's is his again after a write, one of a write that
// failed is nobody's.
func TestIngestBuffers(t *testing.T) {
	refused := status.Error(codes.DataLoss, "refused")
	s := &told{}
	w := ingestOf(t, s, 0)
	mine := noise(chunk)
	_, err := w.Write(mine)
	must(t, err)
	clear(mine)
	s.before = func(*contentapi.WriteContentRequest) error { return refused }
	if err := w.Commit(t.Context(), chunk, ""); !errdefs.IsDataLoss(err) {
		t.Errorf("got %v", err)
	}
	sent := s.said[len(s.said)-1].GetData()
	if !bytes.Equal(sent, noise(chunk)) {
		t.Error("the connection reads from the caller's buffer")
	}
	if _, err := w.Write(mine); !errdefs.IsDataLoss(err) {
		t.Errorf("and afterwards %v", err)
	}
	// The pool may forget, but must not give out that one.
	for range 100 {
		b, _ := chunks.Get().(*[chunk]byte)
		if &b[0] == &sent[0] {
			t.Fatal("a buffer that may still be read from is used again")
		}
	}
}

// What containerd has not taken is told.
func TestIngestShort(t *testing.T) {
	s := &told{}
	w := ingestOf(t, s, 3*chunk)
	s.before = func(*contentapi.WriteContentRequest) error {
		s.answers[0].Offset--
		return nil
	}
	if _, err := w.ReadFrom(bytes.NewReader(noise(3 * chunk))); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	must(t, w.Close())
}

// The next bytes are read and sent while the last are not answered, where there is
// room, and no more than these: a buffer is not written to before.
func TestIngestReadsAhead(t *testing.T) {
	from := &tallied{Reader: bytes.NewReader(noise(5 * chunk))}
	answered := 0
	s := &told{}
	s.before = func(m *contentapi.WriteContentRequest) error {
		if m.GetAction() != contentapi.WriteAction_WRITE {
			return nil
		}
		answered++
		if want := min((answered+1)*chunk, 5*chunk); from.read != want {
			t.Errorf("%d bytes were read before answer %d, want %d", from.read, answered, want)
		}
		if !bytes.Equal(m.GetData(), noise(5 * chunk)[(answered-1)*chunk:answered*chunk]) {
			t.Errorf("piece %d was written over before it was answered", answered)
		}
		return nil
	}
	w := ingestOf(t, s, 5*chunk)
	if n, err := w.ReadFrom(from); err != nil || n != 5*chunk {
		t.Errorf("%d bytes, %v", n, err)
	}
	must(t, w.Close())
	if answered != 5 || len(ahead) != 0 {
		t.Errorf("%d pieces were answered, %d places are taken", answered, len(ahead))
	}
}

// tallied counts what is read.
type tallied struct {
	io.Reader
	read int
}

func (c *tallied) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// Where there is no room, one buffer has to do.
func TestIngestIsBounded(t *testing.T) {
	for range cap(ahead) {
		ahead <- struct{}{}
		t.Cleanup(func() { <-ahead })
	}
	var small pieces
	small.get(7)
	if cap(small.held) != 7 || small.spare != nil {
		t.Errorf("buffers of %d and %d bytes for 7", cap(small.held), cap(small.spare))
	}
	w := ingestOf(t, &told{}, 0)
	if n, err := w.ReadFrom(bytes.NewReader(noise(2*chunk + 1))); err != nil || n != 2*chunk+1 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if cap(w.held) != chunk || w.spare != nil {
		t.Errorf("buffers of %d and %d bytes", cap(w.held), cap(w.spare))
	}
	must(t, w.Close())
	if len(ahead) != cap(ahead) {
		t.Error("a place was given back that was not taken")
	}
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
