package v1compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const blockSize = 512

// tarScan follows the headers of the tar archive written to it: whether it is one,
// whether it is complete, and whether it has files that AUFS left in layers. It skips
// contents.
type tarScan struct {
	block   [blockSize]byte
	have    int   // bytes of block
	content int64 // bytes of content to skip
	padding int64 // bytes of padding after it
	pax     []byte
	inPax   bool
	size    int64 // from a pax header, or -1
	headers int
	// ended reports that the end of the archive was seen; strange, that something
	// other than a header was found in place of one.
	ended, strange bool
	// aufs is the first name found that AUFS left.
	aufs string
	more bool // blocks of a GNU sparse header follow
}

// maxPax bounds the pax records read, in bytes: the relevant ones are short.
const maxPax = 1 << 20

func newTarScan() *tarScan { return &tarScan{size: -1} }

func (t *tarScan) write(p []byte) {
	for len(p) > 0 && !t.ended && !t.strange {
		if t.content+t.padding > 0 {
			p = t.step(p)
			continue
		}
		n := copy(t.block[t.have:], p)
		p = p[n:]
		if t.have += n; t.have == blockSize {
			t.have = 0
			t.header()
		}
	}
}

func (t *tarScan) step(p []byte) []byte {
	n := min(t.content, int64(len(p)))
	if t.inPax {
		t.pax = append(t.pax, p[:n]...)
	}
	t.content -= n
	p = p[n:]
	if t.content == 0 && t.inPax {
		t.inPax = false
		t.size = paxSize(t.pax)
	}
	n = min(t.padding, int64(len(p)))
	if t.content > 0 {
		return p
	}
	t.padding -= n
	return p[n:]
}

// header reads a block in the place of a header.
func (t *tarScan) header() {
	b := t.block[:]
	switch {
	case t.more:
		t.more = b[504] != 0
		return
	case zeros(b):
		t.ended = true
		return
	case !validHeader(b):
		t.strange = true
		return
	}
	t.headers++
	size, ok := tarNumber(b[124:136])
	if !ok {
		t.strange = true
		return
	}
	switch b[156] {
	case 'x':
		if t.inPax = size <= maxPax; !t.inPax {
			t.strange = true
			return
		}
		t.pax = t.pax[:0]
	case 'g', 'L', 'K':
	case '1', '2', '3', '4', '5', '6': // links, devices and directories have no content
		size, t.size = 0, -1
	default:
		t.more = b[156] == 'S' && b[482] != 0
		if t.size >= 0 {
			size, t.size = t.size, -1
		}
	}
	t.leftover(b)
	t.content = size
	t.padding = -size & (blockSize - 1)
	if size == 0 {
		t.inPax = false
	}
}

// leftover notes names at the root under which AUFS keeps its state. The marker of an
// opaque directory shares the prefix but belongs to the layer.
func (t *tarScan) leftover(b []byte) {
	name, _, _ := strings.Cut(string(b[:100]), "\x00")
	name = strings.TrimLeft(strings.TrimPrefix(name, "./"), "/")
	first, _, _ := strings.Cut(name, "/")
	if t.aufs == "" && strings.HasPrefix(first, ".wh..wh.") && first != ".wh..wh..opq" {
		t.aufs = first
	}
}

// end reports whether the archive is incomplete after its last byte.
func (t *tarScan) end() error {
	if t.headers == 0 && t.have > 0 {
		t.strange = true // too short for a header
	}
	switch {
	case t.strange || t.ended:
		return nil
	case t.content > 0 || t.have > 0:
		return fmt.Errorf("the tar archive breaks off: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

var errPage error = pageError{}

// warning returns what is odd about the archive, nil if nothing is.
func (t *tarScan) warning() error {
	switch {
	case t.strange && t.headers == 0:
		return errors.New("not a tar archive: unpacking will fail")
	case t.strange:
		return fmt.Errorf("not a tar archive after %d entries: unpacking will fail", t.headers)
	case t.aufs != "":
		return fmt.Errorf("has %s, which AUFS left in the layer: it will be unpacked as files or whiteouts", t.aufs)
	}
	return nil
}

// validHeader reports whether a tar header's checksum is right. Some old programs
// summed its bytes as signed.
func validHeader(b []byte) bool {
	want, ok := tarNumber(b[148:156])
	if !ok {
		return false
	}
	var unsigned, signed int64
	for i, c := range b[:blockSize] {
		if 148 <= i && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// tarNumber reads an octal number, or a large one in GNU's base 256.
func tarNumber(b []byte) (int64, bool) {
	if b[0]&0x80 != 0 {
		var n uint64
		for i, c := range b {
			if i == 0 {
				c &= 0x7f
			}
			if n >= 1<<54 {
				return 0, false
			}
			n = n<<8 | uint64(c)
		}
		return int64(n), n < 1<<62
	}
	s := strings.Trim(string(bytes.Trim(b, " \x00")), " ")
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 8, 62)
	return int64(n), err == nil
}

// paxSize returns the size given by pax records, or -1.
func paxSize(records []byte) int64 {
	size := int64(-1)
	for len(records) > 0 {
		digits, _, ok := bytes.Cut(records, []byte(" "))
		n, err := strconv.Atoi(string(digits))
		if !ok || err != nil || n <= len(digits)+1 || n > len(records) {
			return size
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(string(records[len(digits)+1:n]), "\n"), "=")
		if key == "size" {
			if v, err := strconv.ParseUint(value, 10, 62); err == nil {
				size = int64(v)
			}
		}
		records = records[n:]
	}
	return size
}
