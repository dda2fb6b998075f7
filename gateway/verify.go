package gateway

import (
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// digestError reports that content does not match its digest.
type digestError struct {
	ref       string
	want, got digest.Digest
}

// Error implements error.
func (e *digestError) Error() string {
	return fmt.Sprintf("%s: the content has the digest %s, not %s", e.ref, e.got, e.want)
}

// verify checks content in memory.
func verify(body []byte, ref string, want digest.Digest) error {
	if got := want.Algorithm().FromBytes(body); got != want {
		return &digestError{ref: ref, want: want, got: got}
	}
	return nil
}

// verifier passes content on, except that it holds back the last byte until all is
// verified: wrong content is never complete.
type verifier struct {
	r    io.Reader
	ref  string
	want digest.Digest
	hash hash.Hash
	// held is the byte held back, if has is set.
	held [1]byte
	has  bool
	// err is what every further Read returns.
	err error
}

func newVerifier(r io.Reader, ref string, want digest.Digest) *verifier {
	return &verifier{r: r, ref: ref, want: want, hash: want.Algorithm().Hash()}
}

// Read implements io.Reader.
func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n := 0
	if v.has {
		n = copy(p, v.held[:])
	}
	// Always leave room for another byte, or the end would never be seen.
	var next [1]byte
	room := p[n:]
	if len(room) == 0 {
		room = next[:]
	}
	m, err := v.r.Read(room)
	_, _ = v.hash.Write(room[:m])
	if err != nil {
		return v.end(p, n, room[:m], err)
	}
	return v.keep(p, n, room[:m]), nil
}

// keep holds back the last of n bytes in p and those read after them.
func (v *verifier) keep(p []byte, n int, read []byte) int {
	if len(read) == 0 {
		return 0
	}
	v.held[0], v.has = read[len(read)-1], true
	if n+len(read) > len(p) { // read is not in p
		return n
	}
	return n + len(read) - 1
}

// end returns the rest of the content at its end, or none if it is wrong.
func (v *verifier) end(p []byte, n int, read []byte, err error) (int, error) {
	if v.err = err; err != io.EOF {
		return 0, err
	}
	if got := digest.NewDigest(v.want.Algorithm(), v.hash); got != v.want {
		v.err = &digestError{ref: v.ref, want: v.want, got: got}
		return 0, v.err
	}
	if n+len(read) > len(p) { // read is not in p: one byte more
		v.r, v.has, v.held[0] = emptyReader{}, true, read[0]
		v.err = nil
		return n, nil
	}
	if n += len(read); n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
