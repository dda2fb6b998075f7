package bounded

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxWait is the longest wait that a server may ask for, maxWaits what one
	// request waits in all. Who asks for more is told no.
	maxWait  = time.Minute
	maxWaits = 2 * time.Minute
	// keep is how long a refusal stands for the server once a request has given
	// up: those who repeat it at once hear it again, and the server does not.
	keep = 10 * time.Second
	// mostPaced bounds the servers that are remembered.
	mostPaced = 256
)

// pace remembers which servers want to be left alone. Its zero value is ready.
type pace struct {
	mu      sync.Mutex
	servers map[string]*rest
}

// rest is how long a server is to be left alone.
type rest struct {
	until time.Time
	// refusal is its answer, once it is no longer waited for.
	refusal *refusal
}

// refusal is an answer of 429.
type refusal struct {
	status string
	header http.Header
	body   []byte
}

// paced makes a request as often as it is answered 429, after the waits that
// the answers ask for. One whose body can be sent only once is not made again:
// it is answered after the wait, so that whoever repeats it does so then.
func (t *Transport) paced(req *http.Request) (*http.Response, error) {
	server := req.URL.Scheme + "://" + req.URL.Host
	var waited time.Duration
	for n := 0; ; n++ {
		left, refused := t.pace.rest(server)
		if refused != nil {
			closeBody(req)
			return refused.response(req), nil
		}
		if err := sleep(req.Context(), left); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.once(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			return resp, err
		}
		wait := waitFor(resp.Header, n)
		if wait > maxWait || waited+wait > maxWaits {
			return t.pace.refuse(server, wait, resp), nil
		}
		waited += wait
		t.pace.hold(server, wait)
		if !hasBody(req) {
			drop(resp)
			continue
		}
		if err := sleep(req.Context(), wait); err != nil {
			drop(resp)
			return nil, err
		}
		return resp, nil
	}
}

// waitFor is how long to wait after the answer number n.
func waitFor(h http.Header, n int) time.Duration {
	backoff := 250 * time.Millisecond << min(n, 5)
	asked, ok := RetryAfter(h, time.Now())
	if !ok {
		return 4 * backoff
	}
	return max(asked, backoff)
}

// RetryAfter reads the header of this name: seconds, or a date.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, ok := number(value); ok {
		return time.Duration(min(seconds, int64(365*24*time.Hour/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, at.Sub(now)), true
}

// rest is how long a server is still to be left alone, and its refusal if that
// is not to be waited for.
func (p *pace) rest(server string) (time.Duration, *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.servers[server]
	if r == nil {
		return 0, nil
	}
	left := time.Until(r.until)
	if left <= 0 {
		delete(p.servers, server)
		return 0, nil
	}
	return left, r.refusal
}

func (p *pace) hold(server string, wait time.Duration) {
	p.set(server, &rest{until: time.Now().Add(wait)})
}

// refuse remembers a refusal, and returns it.
func (p *pace) refuse(server string, wait time.Duration, resp *http.Response) *http.Response {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	_ = resp.Body.Close()
	r := &refusal{status: resp.Status, header: resp.Header, body: text}
	p.set(server, &rest{until: time.Now().Add(min(wait, keep)), refusal: r})
	return r.response(resp.Request)
}

func (p *pace) set(server string, r *rest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers == nil || len(p.servers) >= mostPaced {
		p.servers = map[string]*rest{}
	}
	p.servers[server] = r
}

func (r *refusal) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: r.status, StatusCode: http.StatusTooManyRequests,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader(r.body)),
		ContentLength: int64(len(r.body)), Request: req,
	}
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// closeBody obeys http.RoundTripper where no other transport does.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// sleep waits, and returns early and says why when the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
