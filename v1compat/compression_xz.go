package v1compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/therootcompany/xz"
)

// maxDictionary bounds the dictionary of an xz layer: "xz -9" needs this much.
const maxDictionary = 64 << 20

// xzReader decompresses xz in this process: Docker ran the xz program, which let
// images run code as root (CVE-2014-9357). The decoder refuses a block that declares
// a larger dictionary (up to 4 GiB) before it allocates one.
type xzReader struct{ x *xz.Reader }

func newXZReader(r io.Reader) (io.Reader, error) {
	x, err := xz.NewReader(r, maxDictionary)
	if err != nil {
		return nil, xzError(err)
	}
	return &xzReader{x}, nil
}

// Read implements io.Reader.
func (r *xzReader) Read(p []byte) (int, error) {
	n, err := r.x.Read(p)
	return n, xzError(err)
}

// xzError names the limit in a memory error, and reports truncated data as other
// decoders do.
func xzError(err error) error {
	switch {
	case errors.Is(err, xz.ErrMemlimit):
		return fmt.Errorf("xz: a dictionary of more than %d MiB is needed, which is the limit", maxDictionary>>20)
	case errors.Is(err, xz.ErrBuf):
		return fmt.Errorf("xz: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// xzWantsMuch reports whether the first block, which begins in head, declares a
// larger dictionary than maxWindow.
func xzWantsMuch(head []byte) bool {
	x, err := xz.NewReader(bytes.NewReader(head), maxWindow)
	if err == nil {
		_, err = x.Read(make([]byte, 1))
	}
	return errors.Is(err, xz.ErrMemlimit)
}
