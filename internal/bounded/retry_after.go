package bounded

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxWait is the longest wait that a server may ask for, maxWaits what one
	// request waits in all unless its Transport says otherwise. Who asks for more
	// is told no.
	maxWait  = time.Minute
	maxWaits = 2 * time.Minute
	// keep is how long a refusal stands once a request has given up: who repeats
	// it at once, with the same [Account], hears it again, and the server does not.
	keep = 10 * time.Second
	// mostGuesses is how often a server is asked again that does not say when.
	mostGuesses = 4
	// mostPaced bounds the servers that are remembered.
	mostPaced = 256
)

// pace remembers which servers want to be left alone, and until when. Its zero
// value is ready.
type pace struct {
	mu      sync.Mutex
	servers map[string]time.Time
}

// refusal is an answer of 429 that is no longer waited for.
type refusal struct {
	until  time.Time
	status string
	header http.Header
	body   []byte
}

// paced makes a request as often as it is answered 429, after the waits that
// the answers ask for. One whose body can be sent only once is not made again:
// it is answered after the wait, so that a client that repeats it does so then.
func (t *Transport) paced(req *http.Request) (*http.Response, error) {
	server := req.URL.Scheme + "://" + req.URL.Host
	account := accountOf(req.Context())
	if refused := account.refusal(server); refused != nil {
		closeBody(req)
		return refused.response(req), nil
	}
	var waited time.Duration
	for n := 0; ; n++ {
		if err := sleep(req.Context(), t.pace.left(server)); err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.once(req)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			return resp, err
		}
		wait := waitFor(resp.Header, n)
		if n == mostGuesses && resp.Header.Get("Retry-After") == "" || wait > maxWait || waited+wait > cmp.Or(t.MaxWait, maxWaits) {
			return account.refuse(server, resp), nil
		}
		waited += wait
		t.pace.hold(server, wait)
		if !hasBody(req) {
			drop(resp)
			continue
		}
		if req.GetBody != nil {
			drop(resp)
			if req, err = again(req); err != nil {
				return nil, err
			}
			continue
		}
		if err := sleep(req.Context(), wait); err != nil {
			drop(resp)
			return nil, err
		}
		return resp, nil
	}
}

// again returns a request with its body from the beginning.
func again(req *http.Request) (*http.Request, error) {
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// waitFor returns how long to wait after the answer number n.
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

// left returns how long a server is still to be left alone.
func (p *pace) left(server string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.servers[server])
}

func (p *pace) hold(server string, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.servers == nil || len(p.servers) >= mostPaced {
		p.servers = map[string]time.Time{}
	}
	p.servers[server] = time.Now().Add(wait)
}

// refusal returns what a server has refused a moment ago, nil for nothing.
func (a *Account) refusal(server string) *refusal {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.refusals[server]; r != nil && time.Until(r.until) > 0 {
		return r
	}
	return nil
}

// refuse remembers a refusal, and returns it.
func (a *Account) refuse(server string, resp *http.Response) *http.Response {
	if a == nil {
		return resp
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	_ = resp.Body.Close()
	r := &refusal{until: time.Now().Add(keep), status: resp.Status, header: resp.Header, body: text}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusals == nil || len(a.refusals) >= mostPaced {
		a.refusals = map[string]*refusal{}
	}
	a.refusals[server] = r
	return r.response(resp.Request)
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
