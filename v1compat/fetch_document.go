package v1compat

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errSlow ends an attempt that takes longer than it may.
var errSlow = errors.New("no answer within the time limit")

// Attempts for one request, and the waits before the second and third. A
// server in trouble is not helped by more, and a mirror may be left to ask.
const attempts = 3

func pause(n int) time.Duration { return 250 * time.Millisecond << (2 * n) } // 250 ms, 1 s

// attempt bounds one attempt to read a document.
func (c *Client) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout(), errSlow)
}

// document returns the body of an answer of at most limit bytes, and its header.
// What may pass is tried again.
func (s *session) document(ctx context.Context, ep endpoint, limit int64, segments ...string) ([]byte, http.Header, error) {
	for n := 0; ; n++ {
		body, header, err := s.documentOnce(ctx, ep, limit, segments)
		if err == nil || !retriable(err) || n+1 == attempts {
			return body, header, err
		}
		if err := s.c.wait(ctx, pause(n)); err != nil {
			return nil, nil, s.located(ep, segments, &Error{Err: err})
		}
	}
}

func (s *session) documentOnce(ctx context.Context, ep endpoint, limit int64, segments []string) ([]byte, http.Header, error) {
	ctx, cancel := s.c.attempt(ctx)
	defer cancel()
	resp, err := s.send(ctx, ep, segments, http.Header{}, false)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, s.refused(ep, segments, resp)
	}
	defer discard(resp.Response)
	body, err := readAll(resp.Body, limit)
	if err != nil {
		err = slow(ctx, err)
		return nil, nil, s.located(ep, segments, &Error{Target: resp.target, Err: err, retry: transient(ctx, err)})
	}
	return body, resp.Header, nil
}

// slow says why a context ended, if it was the attempt that took too long.
func slow(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	return err
}

func retriable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.retry
}
