package bounded

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// body is the body of an answer.
type body struct {
	io.ReadCloser
	watch *watch
	// silence runs while a Read waits for the server, whole from the start of a small
	// answer to its end.
	silence *clock
	whole   *time.Timer
	kind    kind
	// left is how many more bytes may come.
	left    int64
	account *Account

	// waited is how long reads have waited since content was last counted, came the
	// number of bytes that came in that time.
	waited time.Duration
	came   int64
}

// Content must come with a kilobyte per second on average: over ten times the patience,
// to tolerate a line that is down for a while, and counting only the time that reads
// wait. Otherwise a byte per minute could keep a download open for years.
const (
	slowest  = 1 << 10
	slowSpan = 10
)

func newBody(resp *http.Response, w *watch, k kind) *body {
	k = k.of(resp.StatusCode)
	b := &body{
		ReadCloser: resp.Body, watch: w, kind: k, left: k.limit,
		silence: w.clock("sent nothing", w.limit),
		account: accountOf(w.ctx),
	}
	if k.long > 0 {
		limit := w.limit * time.Duration(k.long)
		b.whole = time.AfterFunc(limit, func() {
			w.cancel(&StalledError{Host: w.host, Doing: "was too slow with " + k.what, After: limit})
		})
	}
	return b
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.kind.limit > 0 {
		if b.left == 0 {
			return b.beyond(p)
		}
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.read(p)
	b.left -= int64(n)
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	b.silence.start()
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.silence.pause()
	if b.kind.limit == 0 && err == nil {
		err = b.tooSlow(n, time.Since(began))
	}
	if err != nil {
		err = b.judge(err)
	}
	return n, err
}

// tooSlow counts n bytes, and returns an error if too few came in the time waited.
func (b *body) tooSlow(n int, waited time.Duration) error {
	b.came += int64(n)
	b.waited += waited
	if b.waited < slowSpan*b.watch.limit {
		return nil
	}
	slow := &SlowError{Host: b.watch.host, Bytes: b.came, Waited: b.waited}
	enough := b.came >= int64(slowest*b.waited.Seconds())
	b.came, b.waited = 0, 0
	if enough {
		return nil
	}
	b.account.note(b.watch.host, slow)
	return slow
}

// beyond checks that the answer ends at its limit. The rest of an error is dropped
// silently: it is of no use.
func (b *body) beyond(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var one [1]byte
	n, err := b.read(one[:])
	switch {
	case n == 0:
		return 0, err
	case b.kind == kindError:
		return 0, io.EOF
	}
	return 0, &TooLargeError{Host: b.watch.host, What: b.kind.what, Limit: b.kind.limit}
}

// judge turns the error of a connection that was cut or stalled during content into
// io.ErrUnexpectedEOF itself, after which readers ask for the rest: containerd's
// compares with it. An EOF after a stall counts, too: the server may end its answer
// because the client hung up.
func (b *body) judge(err error) error {
	stalled := b.watch.stalled()
	switch {
	case stalled == nil && err == io.EOF:
		return err
	case stalled == nil && b.watch.ctx.Err() != nil:
		return err // the caller gave up
	case stalled != nil:
		err = stalled
	}
	if b.kind.limit > 0 || !cut(err) {
		return err
	}
	b.account.note(b.watch.host, err)
	return io.ErrUnexpectedEOF
}

// cut reports whether an error means that the connection broke.
func cut(err error) bool {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	for _, is := range []error{io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.silence.end()
	if b.whole != nil {
		b.whole.Stop()
	}
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	return err
}

// drop closes an answer, after reading a little of it to let the connection be reused.
func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}
