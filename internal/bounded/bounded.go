// Package bounded is an http.RoundTripper that bounds what a server can make a
// client do: the bytes of its answers by what was asked for, the time without a
// byte in either direction, the total time of small answers, and the waits it
// asks for with 429. It also lets a download start over where the server cannot
// resume it.
//
// Read bounded.go first, then kind.go, which says what an answer may be. body.go
// bounds the answer while it is read, and stall.go is the clock that ends a request
// in which nothing moves. retry_after.go waits where the server says 429. resume.go
// decides whether an answer continues a download. account.go keeps, for one pull, why
// a download broke off.
package bounded

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// DefaultPatience is how long a server may send or take nothing.
const DefaultPatience = time.Minute

// Transport bounds the requests made through it, redirects followed included.
// Next must be set; one Transport is for the requests of one pull or push to
// one endpoint and whatever that leads to. It may be used concurrently.
type Transport struct {
	// Next makes the requests. It is to bound the time to the headers of an
	// answer, as http.Transport.ResponseHeaderTimeout does, and their size.
	Next http.RoundTripper
	// Patience is how long a server may send or take nothing; zero is
	// DefaultPatience.
	Patience time.Duration
	// MaxWait is how long one request waits for a server that answers 429, in
	// all; zero is two minutes.
	MaxWait time.Duration

	pace pace
}

// StalledError reports that a server neither sent nor took a byte for too long,
// or sent so slowly that a small answer was not there in time.
type StalledError struct {
	// Host is the host[:port] of the request.
	Host string
	// Doing is what it was to do.
	Doing string
	// After is how long it was waited for.
	After time.Duration
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("%s %s for %s: the request was given up", e.Host, e.Doing, e.After)
}

// SlowError reports that content came so slowly that it would not have been there
// in any useful time. To ask for the rest would be more of the same.
type SlowError struct {
	// Host is the host[:port] of the request.
	Host string
	// Bytes came while the server was waited for so long in all.
	Bytes  int64
	Waited time.Duration
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("%s sent %d bytes of content in the last %s: that is too slow, the download was given up: try another mirror, or ask the registry's owner",
		e.Host, e.Bytes, e.Waited.Round(time.Second))
}

// Timeout makes the error one of a time-out, for net.Error.
func (e *StalledError) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *StalledError) Temporary() bool { return true }

// TooLargeError reports that an answer has more bytes than its kind may have.
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
