package imageservice

import "sync"

// chunk is how many bytes of a layer go to containerd at a time: with what is said
// of them no more than the largest buffers, 1 MiB, that gRPC keeps there for others.
const chunk = 1<<20 - 1<<10

// pieces are the buffers of a blob. gRPC may still read from one when a call was
// given up, and so none is anybody else's. The zero value has none yet.
type pieces struct {
	// held was taken and not sent. spare, which may be on its way, is nil where
	// there is no second buffer.
	held, spare []byte
	release     func(again bool)
}

// chunks are buffers that nobody reads from any more.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// ahead are the blobs whose next bytes are read while the last are written. The
// others take turns: how many layers come at a time is for others to say, how
// much memory that may take is not.
var ahead = make(chan struct{}, 3)

// get gets buffers for a blob of that size, zero if that is not known: one that is
// no larger than needed, and where there is more to come and room for it a second
// one.
func (p *pieces) get(size int64) {
	if p.held != nil {
		return
	}
	if 0 < size && size <= chunk {
		p.held, p.release = make([]byte, 0, size), func(bool) {}
		return
	}
	first, _ := chunks.Get().(*[chunk]byte)
	p.held = first[:0]
	select {
	case ahead <- struct{}{}:
	default:
		p.release = func(again bool) {
			if again {
				chunks.Put(first)
			}
		}
		return
	}
	second, _ := chunks.Get().(*[chunk]byte)
	p.spare = second[:0]
	p.release = func(again bool) {
		if again {
			chunks.Put(first)
			chunks.Put(second)
		}
		<-ahead
	}
}

// full reports whether there is no room in the buffer.
func (p *pieces) full() bool { return p.held != nil && len(p.held) == cap(p.held) }

// next goes on in the other buffer, or in this one where there is no other, and
// returns how many messages need no answer for that.
func (p *pieces) next() int {
	if p.spare == nil {
		p.held = p.held[:0]
		return 0
	}
	p.held, p.spare = p.spare[:0], p.held
	return 1
}

// put gives the buffers back. What may still be read from must not be used again.
func (p *pieces) put(again bool) {
	if p.release != nil {
		p.release(again)
	}
	*p = pieces{}
}
