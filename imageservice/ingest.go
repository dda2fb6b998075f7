package imageservice

import (
	"bytes"
	"context"
	"io"
	"sync"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// chunk is how many bytes of a layer go to containerd at a time. More are fewer
// turns, and less memory is what the rest of the node has.
const chunk = 1 << 20

// ingester is containerd's content store, into which blobs go without being
// copied on the way.
type ingester struct{ content.Store }

// newIngester returns the content store behind a connection, whose codec has to
// be [ingestCodec].
func newIngester(c *connection) *ingester { return &ingester{proxy.NewContentStore(c.ClientConn)} }

// Writer implements content.Ingester.
func (s *ingester) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	var wanted content.WriterOpts
	for _, opt := range opts {
		if err := opt(&wanted); err != nil {
			return nil, err
		}
	}
	return &ingest{Writer: w, size: wanted.Desc.Size}, nil
}

// ingest writes from buffers of its own: gRPC may still read from one when a
// call was given up, and the caller's is the caller's again then.
type ingest struct {
	content.Writer
	// size is what is expected, zero if that is not known.
	size int64
}

var _ io.ReaderFrom = (*ingest)(nil)

// chunks are buffers that nobody reads from any more.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// buffer returns one that is no larger than needed, and how to give it back.
func (w *ingest) buffer() (buf []byte, done func()) {
	if 0 < w.size && w.size <= chunk/4 {
		return make([]byte, w.size), func() {}
	}
	b, _ := chunks.Get().(*[chunk]byte)
	return b[:], func() { chunks.Put(b) }
}

// ReadFrom implements io.ReaderFrom: content.Copy leaves the copying to it.
func (w *ingest) ReadFrom(r io.Reader) (written int64, err error) {
	buf, done := w.buffer()
	for {
		n, failed := fill(r, buf)
		if n > 0 {
			n, err := w.Writer.Write(buf[:n])
			written += int64(n)
			if err != nil {
				// The buffer may still be read from, and is not used again.
				return written, err
			}
		}
		if failed != nil {
			done()
			if failed == io.EOF { //nolint:errorlint // a reader returns it bare
				failed = nil
			}
			return written, failed
		}
	}
}

// fill reads until buf is full. Unlike io.ReadFull it leaves errors as they are:
// one of the reader says that something was cut.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var read int
		read, err = r.Read(buf[n:])
		n += read
	}
	return n, err
}

// Write implements io.Writer.
func (w *ingest) Write(p []byte) (int, error) {
	n, err := w.ReadFrom(bytes.NewReader(p))
	return int(n), err
}

// ingestCodec encodes as gRPC does, but leaves the bytes of a blob where they are.
type ingestCodec struct{ encoding.CodecV2 }

func newIngestCodec() encoding.CodecV2 { return ingestCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c ingestCodec) Marshal(v any) (mem.BufferSlice, error) {
	req, ok := v.(*contentapi.WriteContentRequest)
	if !ok || len(req.Data) == 0 {
		return c.CodecV2.Marshal(v)
	}
	head, err := c.CodecV2.Marshal(&contentapi.WriteContentRequest{
		Action: req.Action, Ref: req.Ref, Total: req.Total, Expected: req.Expected, Offset: req.Offset, Labels: req.Labels,
	})
	if err != nil {
		return nil, err
	}
	// Fields stand in any order, and this one comes last.
	field := protowire.AppendTag(nil, dataField, protowire.BytesType)
	field = protowire.AppendVarint(field, uint64(len(req.Data)))
	return append(head, mem.SliceBuffer(field), mem.SliceBuffer(req.Data)), nil
}

// dataField is the number of WriteContentRequest's field "data".
const dataField = 6
