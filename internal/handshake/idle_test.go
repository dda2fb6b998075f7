package handshake

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
)

// cuttable is a connection whose end the test decides.
type cuttable struct {
	net.Conn
	cut    chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (c *cuttable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.cut:
		return 0, io.EOF
	default:
		return n, err
	}
}

func (c *cuttable) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// The error of net/http for a connection that ends while it is idle is known by its
// text alone: this is the real one.
func TestCutKnowsAnIdleConnectionThatWasClosed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	var conn *cuttable
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		conn = &cuttable{Conn: c, cut: make(chan struct{}), closed: make(chan struct{})}
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	post := func(ctx context.Context) error {
		// A body that cannot be had again keeps net/http from trying once more.
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, io.NopCloser(strings.NewReader("x")))
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		return err
	}
	if err := post(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := post(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			return
		}
		close(conn.cut)
		_ = conn.Conn.Close()
		<-conn.closed
	}}))
	if err == nil || !Cut(err) {
		t.Errorf("not taken for a connection that was cut: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "EOF") {
		t.Errorf("it is not idle that it was cut: %v", err)
	}
}
