// Package bounded is an http.RoundTripper that bounds what a server can make a client
// do: the bytes of its answers by the kind of request, the time without a byte in
// either direction, the total time of small answers, and the waits it asks for with
// 429. It also restarts a download that the server cannot resume.
//
// Read bounded.go first, then kind.go, which says what an answer may be. body.go bounds
// the answer while it is read, and stall.go is the clock that ends a request in which
// nothing moves. retry_after.go waits after a 429. resume.go decides whether an answer
// continues a download. account.go records, for one pull, why a download broke off.
package bounded

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// DefaultPatience is how long a server may send or take nothing.
const DefaultPatience = time.Minute

// Transport bounds the requests made through it, including redirected ones. Next must
// be set. Use one Transport for the requests of one pull or push to one endpoint, and
// to the hosts that leads to. It may be used concurrently.
type Transport struct {
	// Next makes the requests. It should bound the time to the headers of an answer, as
	// http.Transport.ResponseHeaderTimeout does, and their size.
	Next http.RoundTripper
	// Patience is how long a server may send or take nothing; zero means
	// DefaultPatience.
	Patience time.Duration
	// MaxWait is how long one request may wait in total for a server that answers 429;
	// zero means two minutes.
	MaxWait time.Duration

	pace pace
}

// StalledError reports that a server neither sent nor took a byte for too long, or did
// not complete a small answer in time.
type StalledError struct {
	// Host is the host[:port] of the request.
	Host string
	// Doing is what the server did, such as "sent nothing".
	Doing string
	// After is how long the request waited.
	After time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s %s for %s: the request was given up", e.Host, e.Doing, e.After)
}

// SlowError reports that content came too slowly to be useful. Asking for the rest
// would not help.
type SlowError struct {
	// Host is the host[:port] of the request.
	Host string
	// Bytes is the number of bytes that came while reads waited for Waited in total.
	Bytes  int64
	Waited time.Duration
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("%s sent %d bytes of content in the last %s: that is too slow, the download was given up: try another mirror, or ask the registry's owner",
		e.Host, e.Bytes, e.Waited.Round(time.Second))
}

// Timeout implements net.Error.
func (e *StalledError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *StalledError) Temporary() bool { return true }

// TooLargeError reports that an answer exceeds the limit of its kind.
type TooLargeError struct {
	// Host is the host[:port] of the request, What the kind of answer.
	Host, What string
	// Limit is how many bytes it may have, unpacked.
	Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s answers with more than %d bytes of %s", e.Host, e.Limit, e.What)
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	offset, resumes := resumption(req)
	resp, err := t.paced(req)
	if err != nil || !resumes {
		return resp, err
	}
	if GoesOn(resp, offset) {
		return resp, nil
	}
	drop(resp)
	return t.paced(fromStart(req))
}

// once makes one request.
func (t *Transport) once(req *http.Request) (*http.Response, error) {
	k := kindOf(req)
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, limit: t.patience(), host: req.URL.Host}
	own := req.WithContext(ctx)
	sent := w.watchSending(own)
	resp, err := t.Next.RoundTrip(own)
	sent()
	if err != nil {
		if s := w.stalled(); s != nil {
			err = s
		}
		cancel(nil)
		return nil, err
	}
	if resp.Request == own {
		resp.Request = req
	}
	if resp.Body == nil || resp.Body == http.NoBody || req.Method == http.MethodHead {
		cancel(nil)
		return resp, nil
	}
	resp.Body = newBody(resp, w, k)
	return resp, nil
}

func (t *Transport) patience() time.Duration {
	if t.Patience > 0 {
		return t.Patience
	}
	return DefaultPatience
}
