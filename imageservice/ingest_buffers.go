package imageservice

import "sync"

// chunk is the number of bytes of a layer in one message: with its other fields it fits
// into the largest buffers that gRPC pools in containerd, 1 MiB.
const chunk = 1<<20 - 1<<10

// pieces are the buffers of a blob. They are not shared: gRPC may still read from one
// after a call was abandoned. The zero value has none yet.
type pieces struct {
	// held is read but not sent. spare, which may still be in transit, is nil without a
	// second buffer.
	held, spare []byte
	release     func(again bool)
}

// chunks holds buffers that nothing reads from any more.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// ahead limits the blobs with a second buffer, whose next bytes are read while the last
// are written. The number of concurrent layers is configured elsewhere; this bounds the
// memory they take.
var ahead = make(chan struct{}, 3)

// get allocates the buffers for a blob of that size, zero if unknown: one no larger
// than needed, and for a blob of several chunks a second one if ahead has room.
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

// full reports whether the buffer has no room left.
func (p *pieces) full() bool { return p.held != nil && len(p.held) == cap(p.held) }

// next switches to the other buffer, or empties the only one, and returns how many
// messages may be unanswered before it is written to.
func (p *pieces) next() int {
	if p.spare == nil {
		p.held = p.held[:0]
		return 0
	}
	p.held, p.spare = p.spare[:0], p.held
	return 1
}

// put releases the buffers. again reports whether they may be reused: nothing reads
// from them any more.
func (p *pieces) put(again bool) {
	if p.release != nil {
		p.release(again)
	}
	*p = pieces{}
}
