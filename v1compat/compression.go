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

// compression is how a layer is compressed. Only its bytes tell: the Content-Type and
// Content-Encoding of old servers are unreliable.
type compression int

const (
	plain compression = iota
	gzipped
	zstandard
	xzed    // images pushed by docker before 0.6
	bzipped // hand-made trees
)

// maxWindow bounds the memory a decompressor may use for its window: 8 MiB is what xz
// at its default settings and zstd at its strongest need.
const maxWindow = 8 << 20

func (c compression) String() string {
	return [...]string{"plain", "gzip", "zstd", "xz", "bzip2"}[c]
}

// mediaType returns the OCI media type of a tar layer in this compression, which must
// be one that OCI defines.
func (c compression) mediaType() string {
	switch c {
	case gzipped:
		return ocispec.MediaTypeImageLayerGzip
	case zstandard:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayer
}

// sniff detects the compression by the first bytes. A tar archive is recognized by
// its header checksum: the name of its first file may begin with anything.
func sniff(head []byte) compression {
	switch {
	case len(head) >= blockSize && validHeader(head[:blockSize]):
		return plain
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return gzipped
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstandard
	case len(head) >= 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50: // a skippable frame
		return zstandard
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return xzed
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzipped
	}
	return plain
}

// decompress returns a reader of the decompressed r, which must be in compression c.
func (c compression) decompress(r io.Reader) (io.ReadCloser, error) {
	r = bufio.NewReaderSize(r, 64<<10)
	switch c {
	case gzipped:
		return gzip.NewReader(r) // reads all members as one stream
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

// headSize is how much of a layer is examined to detect its compression.
const headSize = 64 << 10

// maxNesting is how many times a layer may be compressed: once by its creator, and
// again by servers that compress everything.
const maxNesting = 3

// plan says how to process a layer.
type plan struct {
	// peel lists the compressions to undo before the layer is stored, outermost
	// first.
	peel []compression
	// kind is the compression of the stored layer.
	kind compression
	// large reports whether undoing peel needs more memory than maxWindow.
	large bool
	// content reports whether the decompressed beginning has nonzero bytes, so that
	// the layer is not empty.
	content bool
}

// planFor plans by the beginning of a layer. A layer compressed twice is stored as it
// is inside: a server that compresses everything must not change the image. xz and
// bzip2 are undone, as containerd cannot read them.
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
				head = nil // not worth the memory
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

// begin returns the beginning of the decompressed head, as much as can be read.
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

// corruptError reports damaged bytes of a layer; fetching them again may help.
type corruptError struct{ err error }

func (e *corruptError) Error() string {
	return e.err.Error() + " (damaged on the way or at the server)"
}
func (e *corruptError) Unwrap() error { return e.err }

// limitError reports that a layer exceeds a limit.
type limitError struct{ error }

func (e *limitError) Unwrap() error { return e.error }

func corrupt(kinds []compression, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("breaks off: %w", io.ErrUnexpectedEOF)
	}
	return &corruptError{fmt.Errorf("decompress %v: %w", kinds, err)}
}
