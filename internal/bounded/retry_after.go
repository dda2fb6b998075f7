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
	// maxWait is the longest wait that a server may ask for, maxWaits how long one
	// request waits in total unless its Transport says otherwise. If a server asks for
	// more, its refusal is final.
	maxWait  = time.Minute
	maxWaits = 2 * time.Minute
	// keep is how long a refusal is repeated after a request has given up: a retry at
	// once with the same [Account] gets it without asking the server.
	keep = 10 * time.Second
	// mostGuesses is how often to retry a server that does not say how long to wait.
	mostGuesses = 4
	// mostPaced bounds the number of servers remembered.
	mostPaced = 256
)

// pace remembers which servers want to be left alone, and until when. Its zero value is
// ready to use.
type pace struct {
	mu      sync.Mutex
	servers map[string]time.Time
}

// refusal is a 429 after which a request has given up.
type refusal struct {
	until  time.Time
	status string
	header http.Header
	body   []byte
}

// paced makes a request and repeats it while the answer is 429, after the waits that
// the answers ask for. If the body can be sent only once, it returns the 429 after the
// wait, in case the client repeats the request itself.
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

// again returns a copy of a request with its body rewound.
func again(req *http.Request) (*http.Request, error) {
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// waitFor returns how long to wait after the answer number n, counted from zero.
func waitFor(h http.Header, n int) time.Duration {
	backoff := 250 * time.Millisecond << min(n, 5)
	asked, ok := RetryAfter(h, time.Now())
	if !ok {
		return 4 * backoff
	}
	return max(asked, backoff)
}

// RetryAfter parses the Retry-After header: seconds, or a date.
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

// left returns how long to leave a server alone from now on.
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

// refusal returns the recent refusal of a server, nil for none.
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

// refuse records a refusal and returns it.
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

// closeBody closes the body of a request that no transport gets, as http.RoundTripper
// requires.
func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// sleep waits for d, or returns the cause when the context ends earlier.
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
