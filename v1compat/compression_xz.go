package v1compat

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
)

// maxDictionary is the most memory an xz layer may ask for: what "xz -9" does.
const maxDictionary = 64 << 20

// newXZReader reads xz in this process: Docker's use of the program was a way
// to run code as root (CVE-2014-9357). The decoder allocates what the headers
// of a stream's blocks ask for, up to 4 GiB, so they are watched.
func newXZReader(r io.Reader) (io.Reader, error) {
	return xz.NewReader(bufio.NewReaderSize(&xzWatch{r: r}, 64<<10))
}

// xzDictionary is the size the first block asks for, or 0 if it is not there.
func xzDictionary(head []byte) int64 {
	w := &xzWatch{}
	if err := w.write(head); err != nil {
		return 0
	}
	return w.largest
}

// xzWatch follows the structure of an xz file that is read through it, as far
// as needed to find the headers of all blocks, and stops at one that asks for
// too much memory.
type xzWatch struct {
	r       io.Reader
	largest int64 // dictionary seen

	state   func(*xzWatch, []byte) error // what to do with
	need    int                          // bytes
	have    []byte
	skip    int64 // bytes to step over before
	check   int64 // size of a block's check
	size    int64 // of a block's data so far
	index   int64 // bytes of the index so far
	numbers int64 // left in the index
	started bool
	counted bool
}

var errXZ = errors.New("not a sound xz stream")

// Read implements io.Reader.
func (w *xzWatch) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if werr := w.write(p[:n]); werr != nil {
		return 0, werr
	}
	return n, err
}

func (w *xzWatch) write(p []byte) error {
	if w.state == nil {
		w.expect(12, (*xzWatch).streamHeader)
	}
	for {
		if n := min(w.skip, int64(len(p))); n > 0 {
			w.skip -= n
			p = p[n:]
		}
		n := min(w.need-len(w.have), len(p))
		w.have = append(w.have, p[:n]...)
		p = p[n:]
		if w.skip > 0 || len(w.have) < w.need {
			return nil
		}
		have := w.have
		w.have = w.have[len(w.have):]
		if err := w.state(w, have); err != nil {
			return err
		}
	}
}

func (w *xzWatch) expect(n int, state func(*xzWatch, []byte) error) {
	w.need, w.state = n, state
}

// streamHeader: magic, flags, checksum. Between streams there may be zeros, in
// groups of four.
func (w *xzWatch) streamHeader(b []byte) error {
	if w.started && zeros(b[:4]) {
		w.have = append([]byte(nil), b[4:]...)
		return nil
	}
	if string(b[:6]) != "\xfd7zXZ\x00" || b[6] != 0 || b[7] > 15 {
		return errXZ
	}
	w.started = true
	w.check = [...]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[b[7]]
	w.expect(1, (*xzWatch).blockSize)
	return nil
}

// blockSize is the first byte of a block's header, or of the index.
func (w *xzWatch) blockSize(b []byte) error {
	if b[0] == 0 {
		w.index, w.counted, w.numbers = 1, false, 0
		w.have = nil
		w.expect(1, (*xzWatch).indexByte)
		return nil
	}
	w.expect(int(b[0])*4+3, (*xzWatch).blockHeader)
	return nil
}

func (w *xzWatch) blockHeader(b []byte) error {
	filters := int(b[0]&3) + 1
	rest := b[1 : len(b)-4]
	for _, present := range []bool{b[0]&0x40 != 0, b[0]&0x80 != 0} {
		if present {
			if _, rest = xzNumber(rest); rest == nil {
				return errXZ
			}
		}
	}
	for range filters {
		var id, size uint64
		if id, rest = xzNumber(rest); rest == nil {
			return errXZ
		}
		if size, rest = xzNumber(rest); rest == nil || size > uint64(len(rest)) {
			return errXZ
		}
		if id == 0x21 && size == 1 {
			if err := w.dictionary(rest[0]); err != nil {
				return err
			}
		}
		rest = rest[size:]
	}
	w.size = 0
	w.expect(1, (*xzWatch).chunkControl)
	return nil
}

// dictionary decodes the property of LZMA2.
func (w *xzWatch) dictionary(b byte) error {
	if b > 40 {
		return errXZ
	}
	size := int64(2|b&1) << (b/2 + 11)
	if size > maxDictionary {
		return fmt.Errorf("xz: a dictionary of %d bytes is needed; the limit is %d", size, maxDictionary)
	}
	w.largest = max(w.largest, size)
	return nil
}

// chunkControl is the first byte of an LZMA2 chunk.
func (w *xzWatch) chunkControl(b []byte) error {
	w.size++
	switch c := b[0]; {
	case c == 0: // the block's end: padding and check
		w.skip = -w.size&3 + w.check
		w.expect(1, (*xzWatch).blockSize)
	case c <= 2:
		w.expect(2, (*xzWatch).storedChunk)
	case c < 0x80:
		return errXZ
	case c < 0xc0:
		w.expect(4, (*xzWatch).packedChunk)
	default: // with new properties
		w.expect(5, (*xzWatch).packedChunk)
	}
	return nil
}

func (w *xzWatch) storedChunk(b []byte) error {
	w.step(int64(len(b)), int64(b[0])<<8|int64(b[1]))
	return nil
}

func (w *xzWatch) packedChunk(b []byte) error {
	w.step(int64(len(b)), int64(b[2])<<8|int64(b[3]))
	return nil
}

func (w *xzWatch) step(header, size int64) {
	w.skip = size + 1
	w.size += header + w.skip
	w.expect(1, (*xzWatch).chunkControl)
}

// indexByte reads the index: a number of records, and two numbers for each.
func (w *xzWatch) indexByte(b []byte) error {
	w.index++
	if !w.counted {
		// The first number, of up to nine bytes, says how many others there are.
		w.numbers |= int64(b[0]&0x7f) << (7 * (w.index - 2))
		if b[0]&0x80 == 0 {
			w.counted = true
			w.numbers *= 2
		} else if w.index > 9 {
			return errXZ
		}
	} else if b[0]&0x80 == 0 {
		w.numbers--
	}
	if w.counted && w.numbers <= 0 { // padding, checksum, and the footer
		w.skip = -w.index&3 + 4 + 12
		w.expect(12, (*xzWatch).streamHeader)
	}
	return nil
}

// xzNumber reads a number of up to nine bytes; rest is nil if there is none.
func xzNumber(b []byte) (n uint64, rest []byte) {
	for i := range min(len(b), 9) {
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return n, b[i+1:]
		}
	}
	return 0, nil
}
