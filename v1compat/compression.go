package v1compat

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// compression is how a layer is stored. Only its bytes tell: Content-Type and
// Content-Encoding of old servers say anything.
type compression int

const (
	plain compression = iota
	gzipped
	zstandard
	xzed    // images pushed by docker before 0.6
	bzipped // hand-made trees
)

// maxWindow is the most memory a decompressor may use for what it refers back
// to: 8 MiB is what the default settings of xz and the strongest of zstd need.
const maxWindow = 8 << 20

func (c compression) String() string {
	return [...]string{"plain", "gzip", "zstd", "xz", "bzip2"}[c]
}

// mediaType is for a layer of tar in this compression, which must be one that
// OCI has.
func (c compression) mediaType() string {
	switch c {
	case gzipped:
		return ocispec.MediaTypeImageLayerGzip
	case zstandard:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayer
}

// sniff tells the compression by the first bytes. A tar archive is one by its
// checksum: the name of its first file may begin with anything.
func sniff(head []byte) compression {
	switch {
	case len(head) >= blockSize && validHeader(head[:blockSize]):
		return plain
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return gzipped
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstandard
	case len(head) >= 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50: // a frame to skip
		return zstandard
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return xzed
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzipped
	}
	return plain
}

// decompress reads r, which must be in compression c.
func (c compression) decompress(r io.Reader) (io.ReadCloser, error) {
	r = bufio.NewReaderSize(r, 64<<10)
	switch c {
	case gzipped:
		return gzip.NewReader(r) // takes all members as one
	case zstandard:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case xzed:
		x, err := newXZReader(r)
		return io.NopCloser(x), err
	case bzipped:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return io.NopCloser(r), nil
}

// headSize is how much of a layer is looked at to tell what it is.
const headSize = 64 << 10

// maxNesting is how often a layer may be compressed: once by the one who made it,
// and by servers that compress what is compressed.
const maxNesting = 3

// plan is what to do with a layer.
type plan struct {
	// peel are the compressions to undo before the layer is stored, outermost
	// first.
	peel []compression
	// kind is the compression in which it is stored.
	kind compression
	// large reports that undoing them needs more memory than maxWindow.
	large bool
	// content reports that the beginning is not only zeros when decompressed, so
	// the layer is not empty.
	content bool
}

// planFor decides by the beginning of a layer. What is compressed twice is
// stored as inside: a server that compresses everything must not make another
// image of it. xz and bzip2 are undone, as containerd cannot.
func planFor(head []byte) (plan, error) {
	var p plan
	var chain []compression
	for c := sniff(head); c != plain; c = sniff(head) {
		if len(chain) == maxNesting {
			return plan{}, fmt.Errorf("the layer is compressed more than %d times", maxNesting)
		}
		chain = append(chain, c)
		if c == xzed {
			if p.large = xzWantsMuch(head); p.large {
				head = nil // too much for a look
				break
			}
		}
		head = begin(c, head)
	}
	p.peel, p.content = chain, !zeros(head)
	if n := len(chain); n > 0 && (chain[n-1] == gzipped || chain[n-1] == zstandard) {
		p.peel, p.kind = chain[:n-1], chain[n-1]
	}
	return p, nil
}

// begin returns the beginning of what decompression gives, as far as it gets.
func begin(c compression, head []byte) []byte {
	r, err := c.decompress(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	defer r.Close()
	out := make([]byte, 4<<10)
	n, _ := io.ReadFull(r, out)
	return out[:n]
}

// zeros reports whether all bytes are zero.
func zeros(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// corruptError is what is wrong with the bytes of a layer, so that getting
// them again may help.
type corruptError struct{ err error }

func (e *corruptError) Error() string {
	return e.err.Error() + " (damaged on the way or at the server)"
}
func (e *corruptError) Unwrap() error { return e.err }

// limitError is a limit that a layer exceeds.
type limitError struct{ error }

func (e *limitError) Unwrap() error { return e.error }

func corrupt(kinds []compression, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("breaks off: %w", io.ErrUnexpectedEOF)
	}
	return &corruptError{fmt.Errorf("decompress %v: %w", kinds, err)}
}
