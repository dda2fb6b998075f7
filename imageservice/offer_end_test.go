package imageservice

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
)

// slow is a blob that sends its first bytes, and no more until nobody wants it.
type slow struct{ began, ended chan struct{} }

func newSlow() *slow { return &slow{make(chan struct{}), make(chan struct{})} }

func (s *slow) open(ctx context.Context) (io.ReadCloser, error) {
	sent := false
	return io.NopCloser(readerFunc(func(b []byte) (int, error) {
		if !sent {
			sent = true
			return copy(b, noise(len(b))), nil
		}
		close(s.began)
		<-ctx.Done()
		close(s.ended)
		return 0, errors.Join(errors.New("the request is gone"), ctx.Err())
	})), nil
}

// TestWhatNobodyWantsIsNoFailure of the registry's: containerd has hung up, the pull is
// over, or its offer is.
func TestWhatNobodyWantsIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(hangUp, cancel, withdraw func()){
		"containerd hangs up": func(hangUp, _, _ func()) { hangUp() },
		"the pull is over":    func(_, cancel, _ func()) { cancel() },
		"the offer is":        func(_, _, withdraw func()) { withdraw() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, s := newTestLoopback(t), newSlow()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o, _, blob := offerOf(ctx, 1<<20, s.open)
			key, withdraw := l.add(o)
			requestCtx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				req, _ := http.NewRequestWithContext(requestCtx, http.MethodGet, "http://"+l.address+"/"+blob.String(), http.NoBody)
				req.Header.Set(keyHeader, keyPrefix+key)
				transport := &http.Transport{DisableKeepAlives: true}
				resp, err := transport.RoundTrip(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if err == nil {
					t.Error("containerd takes it for whole")
				}
			}()
			<-s.began
			end(hangUp, cancel, withdraw)
			if name == "the offer is" {
				select {
				case <-s.ended:
				default:
					t.Error("its request is not over")
				}
			}
			<-s.ended
			<-answered
			withdraw()
			if err := o.failure(); err != nil {
				t.Errorf("failed of %v", err)
			}
		})
	}
}

// TestAnOfferThatIsWithdrawn is there no more, and leaves containerd no connection; that
// of another offer stays.
func TestAnOfferThatIsWithdrawn(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	o, manifest, blob := offerOf(t.Context(), 3, holding([]byte("abc")))
	key, withdraw := l.add(o)
	other, _, _ := offerOf(t.Context(), 3, holding([]byte("abc")))
	otherKey, withdrawOther := l.add(other)
	defer withdrawOther()
	first, second := dialLoopback(t, l), dialLoopback(t, l)
	for range 2 {
		if code, err := first.ask(key, manifest.String()); code != 200 || err != nil {
			t.Fatalf("%d, %v", code, err)
		}
	}
	if code, err := second.ask(otherKey, blob.String()); code != 200 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	withdraw()
	if code, err := first.ask(key, manifest.String()); err == nil {
		t.Errorf("its connection is left, and answers %d", code)
	}
	if code, err := second.ask(otherKey, blob.String()); code != 200 || err != nil {
		t.Errorf("that of another: %d, %v", code, err)
	}
	if got := l.ask(t, http.MethodGet, key, manifest, ""); got.code != http.StatusForbidden {
		t.Errorf("it is still there: %d", got.code)
	}
}

func dialLoopback(t *testing.T, l *loopback) *oneConn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &oneConn{c, bufio.NewReader(c)}
}

// oneConn is one connection, for one request after another.
type oneConn struct {
	net.Conn
	from *bufio.Reader
}

func (c *oneConn) ask(key, digest string) (code int, err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://loopback/v2/app/blobs/"+digest, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set(keyHeader, keyPrefix+key)
	if err := req.Write(c); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.from, req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
