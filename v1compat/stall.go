package v1compat

import (
	"context"
	"errors"
	"io"
	"time"
)

// patient is a body without a limit on its total time, but with one on each read.
// Time the reader spends between reads does not count.
type patient struct {
	body   io.ReadCloser
	ctx    context.Context // of the request, to tell why it ended
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// newPatient returns a body whose ctx is for the request; the answer's headers must
// arrive within limit, too. The timer runs until begin or stop.
func newPatient(ctx context.Context, limit time.Duration) *patient {
	p := &patient{limit: limit}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.timer = time.AfterFunc(limit, func() { p.cancel(errSlow) })
	return p
}

func (p *patient) begin(body io.ReadCloser) {
	p.timer.Stop()
	p.body = body
}

func (p *patient) stop() {
	p.timer.Stop()
	p.cancel(nil)
}

func (p *patient) Read(b []byte) (int, error) {
	p.timer.Reset(p.limit)
	n, err := p.body.Read(b)
	p.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = slow(p.ctx, err)
	}
	return n, err
}

func (p *patient) Close() error {
	err := p.body.Close()
	p.stop()
	return err
}

// counted is a body that ends where the layer does, if its size is known: the Python
// registry announces one byte too many for a part, so the transport's error right
// after the last byte is ignored, and an end before it is an error.
type counted struct {
	io.ReadCloser
	at, total int64
	failed    func(error) error
}

func (c *counted) Read(b []byte) (int, error) {
	if c.total >= 0 {
		if c.at == c.total {
			return 0, io.EOF
		}
		b = b[:min(int64(len(b)), c.total-c.at)]
	}
	n, err := c.ReadCloser.Read(b)
	c.at += int64(n)
	switch {
	case c.at == c.total:
		return n, io.EOF
	case err == io.EOF && c.total >= 0:
		err = io.ErrUnexpectedEOF
		fallthrough
	case err != nil && err != io.EOF:
		return n, c.failed(err)
	}
	return n, err
}
