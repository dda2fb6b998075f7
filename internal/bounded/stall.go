package bounded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// watch cancels a request's context when nothing moves.
type watch struct {
	//nolint:containedctx // of the request, to tell why it ended
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	host   string
}

// clock returns a stopped clock that ends the request once it has run for limit without
// a pause.
func (w *watch) clock(doing string, limit time.Duration) *clock {
	c := &clock{limit: limit}
	c.timer = time.AfterFunc(limit, func() {
		w.cancel(&StalledError{Host: w.host, Doing: doing, After: limit})
	})
	c.timer.Stop()
	return c
}

// stalled returns the stall that ended the request, nil if none did.
func (w *watch) stalled() *StalledError {
	var s *StalledError
	errors.As(context.Cause(w.ctx), &s)
	return s
}

// clock is a timer that runs while it is the server's turn.
type clock struct {
	timer *time.Timer
	limit time.Duration
	ended atomic.Bool
}

func (c *clock) start() {
	if !c.ended.Load() {
		c.timer.Reset(c.limit)
	}
}

func (c *clock) pause() { c.timer.Stop() }

func (c *clock) end() {
	c.ended.Store(true)
	c.timer.Stop()
}

// watchSending watches the body of a request: the clock runs while the transport does
// not read from it, because the server takes nothing, and not while a Read waits for
// the body's source. end ends the watch.
//
// The body is closed when the request ends: http.Transport waits for a Read of it
// forever, even after the request was cancelled or answered, and nobody may write to
// the other end of a pipe by then.
func (w *watch) watchSending(req *http.Request) (end func()) {
	if req.Body == nil || req.Body == http.NoBody {
		return func() {}
	}
	c := w.clock("took nothing of what was sent to it", w.limit)
	wrap := func(body io.ReadCloser) io.ReadCloser {
		context.AfterFunc(w.ctx, func() { _ = body.Close() })
		return &sending{body, c, w.ctx}
	}
	req.Body = wrap(req.Body)
	if get := req.GetBody; get != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := get()
			if err != nil {
				return nil, err
			}
			return wrap(body), nil
		}
	}
	return c.end
}

// sending is the body of a request.
type sending struct {
	io.ReadCloser
	clock *clock
	//nolint:containedctx // of the request, to tell why it ended
	ctx context.Context
}

func (s *sending) Read(p []byte) (int, error) {
	s.clock.pause()
	n, err := s.ReadCloser.Read(p)
	s.clock.start()
	if err != nil && err != io.EOF && s.ctx.Err() != nil {
		err = context.Cause(s.ctx) // http.Transport reports it as the error of the request
	}
	return n, err
}
