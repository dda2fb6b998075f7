package v1compat

import (
	"context"
	"errors"
	"io"
	"time"
)

// patient is a body that may take as long as it likes in all, but not for one
// read. The time the reader spends between reads does not count.
type patient struct {
	body   io.ReadCloser
	ctx    context.Context // of the request, to tell why it ended
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
}

// newPatient gives a context for a request; the answer's headers have limit to
// arrive, too. After begin or stop it is no longer running.
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

// counted is a body whose end is judged by the layer's size, if that is known:
// python announces one byte more than a part has, so the transport's complaint
// at exactly the last byte is no cut, and its end before that is no end.
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
