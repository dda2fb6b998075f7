package imageservice

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"

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
const chunk = 2 << 20

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

// ahead are the blobs whose next bytes are read while the last are written. The
// others take turns: how many layers come at a time is for others to say, how
// much memory that may take is not.
var ahead = make(chan struct{}, 3)

// buffers returns one that is no larger than needed, where there is more to come
// and room for it a second one, and how to give them back. What may still be
// read from must not be given back; again is to be true otherwise.
func (w *ingest) buffers() (first, second []byte, done func(again bool)) {
	if 0 < w.size && w.size <= chunk {
		return make([]byte, w.size), nil, func(bool) {}
	}
	b, _ := chunks.Get().(*[chunk]byte)
	select {
	case ahead <- struct{}{}:
	default:
		return b[:], nil, func(again bool) {
			if again {
				chunks.Put(b)
			}
		}
	}
	c, _ := chunks.Get().(*[chunk]byte)
	return b[:], c[:], func(again bool) {
		if again {
			chunks.Put(b)
			chunks.Put(c)
		}
		<-ahead
	}
}

// ReadFrom implements io.ReaderFrom: content.Copy leaves the copying to it.
func (w *ingest) ReadFrom(r io.Reader) (written int64, err error) {
	buf, spare, done := w.buffers()
	in := &filler{from: r}
	for got := in.fill(buf); ; {
		var next chan filled
		if got.err == nil && spare != nil {
			next = in.ahead(spare)
		}
		if got.n > 0 {
			n, err := w.Writer.Write(buf[:got.n])
			written += int64(n)
			if err != nil {
				in.stop(next)
				done(false)
				return written, err
			}
		}
		if got.err != nil {
			done(true)
			if got.err == io.EOF { //nolint:errorlint // a reader returns it bare
				return written, nil
			}
			return written, got.err
		}
		if next == nil {
			got = in.fill(buf)
			continue
		}
		got = <-next
		buf, spare = spare, buf
	}
}

// filler reads into buffers.
type filler struct {
	from    io.Reader
	stopped atomic.Bool
}

// filled is what came into one, and why no more did, nil if it is full.
type filled struct {
	n   int
	err error
}

// fill reads until buf is full. Unlike io.ReadFull it leaves errors as they are:
// one of the reader says that something was cut.
func (f *filler) fill(buf []byte) (got filled) {
	for got.n < len(buf) && got.err == nil && !f.stopped.Load() {
		var n int
		n, got.err = f.from.Read(buf[got.n:])
		got.n += n
	}
	return got
}

// ahead fills meanwhile.
func (f *filler) ahead(buf []byte) chan filled {
	got := make(chan filled, 1)
	go func() { got <- f.fill(buf) }()
	return got
}

// stop waits for the read under way: the reader is the caller's again then.
func (f *filler) stop(next <-chan filled) {
	f.stopped.Store(true)
	if next != nil {
		<-next
	}
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
