package v1compat

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errSlow ends an attempt that exceeds its time limit.
var errSlow = errors.New("no answer within the time limit")

// attempts is the number of attempts for one request. More do not help a server in
// trouble, and there may be a mirror left to try.
const attempts = 3

func pause(n int) time.Duration { return 250 * time.Millisecond << (2 * n) } // 250 ms, then 1 s

// attempt bounds one attempt to read a document.
func (c *Client) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.timeout(), errSlow)
}

// document returns body and header of an answer of at most limit bytes. It repeats
// requests that failed with a temporary error.
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

// slow returns errSlow in place of err if the attempt exceeded its time limit.
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
