package v1compat

import (
	"io"
	"sync"
)

// chunkSize is the size of the pieces that goroutines hand to each other.
const chunkSize = 128 << 10

// chunk is a piece of a layer. Its holder must free it or hand it on.
type chunk struct {
	n   int
	buf [chunkSize]byte
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c, ok := chunks.Get().(*chunk)
	if !ok {
		c = new(chunk)
	}
	c.n = 0
	return c
}

func (c *chunk) bytes() []byte { return c.buf[:c.n] }
func (c *chunk) free()         { chunks.Put(c) }

// relay passes chunks to a goroutine that reads them. At most relayDepth chunks wait,
// so memory does not grow with the layer.
type relay struct {
	ch   chan *chunk
	end  error         // why ch was closed; io.EOF at the end of the layer
	done chan struct{} // closed when the reader has stopped
	why  error         // the reader's error, once done is closed
	// Used by the reader only.
	cur    *chunk
	off    int
	failed error // end, once read, if it is not io.EOF
}

const relayDepth = 4

func newRelay() *relay {
	return &relay{ch: make(chan *chunk, relayDepth), done: make(chan struct{})}
}

// put hands a chunk to the reader. It fails with the reader's error if the reader has
// stopped.
func (r *relay) put(c *chunk) error {
	select {
	case <-r.done:
	default:
		select {
		case r.ch <- c:
			return nil
		case <-r.done:
		}
	}
	c.free()
	return r.why
}

// finish ends the writing: the reader sees err, or io.EOF if err is nil.
func (r *relay) finish(err error) {
	if r.end = err; err == nil {
		r.end = io.EOF
	}
	close(r.ch)
}

// stop ends the reading: the writer sees err.
func (r *relay) stop(err error) {
	r.why = err
	close(r.done)
	if r.cur != nil {
		r.cur.free()
		r.cur = nil
	}
}

// Read implements io.Reader.
func (r *relay) Read(p []byte) (int, error) {
	if r.cur == nil {
		c, err := r.next()
		if err != nil {
			return 0, err
		}
		r.cur, r.off = c, 0
	}
	n := copy(p, r.cur.bytes()[r.off:])
	if r.off += n; r.off == r.cur.n {
		r.cur.free()
		r.cur = nil
	}
	return n, nil
}

// next returns the next chunk, which the caller frees, or io.EOF at the end.
func (r *relay) next() (*chunk, error) {
	c, ok := <-r.ch
	if ok {
		return c, nil
	}
	if r.end != io.EOF {
		r.failed = r.end
	}
	return nil, r.end
}
