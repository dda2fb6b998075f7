package v1compat

import (
	"io"
	"sync"
)

// chunkSize is the unit in which layers pass from one goroutine to the next.
const chunkSize = 128 << 10

// chunk is a piece of a layer. Whoever has it frees it or hands it on.
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

// relay passes chunks from one goroutine to another, which reads them. At most
// relayDepth wait, so memory does not grow with the layer.
type relay struct {
	ch   chan *chunk
	end  error         // why ch was closed; io.EOF at the end of the layer
	done chan struct{} // closed when the reader has stopped
	why  error         // with this error
	// The reader's own.
	cur    *chunk
	off    int
	failed error // the end that was read, if it is not io.EOF
}

const relayDepth = 4

func newRelay() *relay {
	return &relay{ch: make(chan *chunk, relayDepth), done: make(chan struct{})}
}

// put hands a chunk to the reader. It fails with the reader's error if that
// has stopped.
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

// finish ends the writing: the reader sees err, or io.EOF if that is nil.
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

// next takes a whole chunk, which the caller frees; io.EOF at the end.
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
