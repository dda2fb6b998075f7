package certsd

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestHeadersThatNeverComeEnd has servers that take a connection and a request
// and answer nothing, or never get to the end of their headers.
func TestHeadersThatNeverComeEnd(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct{ first, again string }{
		"nothing":             {"", ""},
		"a byte at a time":    {"HTTP/1.1 200 OK\r\nX: ", "x"},
		"header after header": {"HTTP/1.1 200 OK\r\n", "X: x\r\n"},
		"not yet, for ever":   {"", "HTTP/1.1 103 Early Hints\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := listener.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					t.Error(err)
				}
				hungUp := make(chan struct{})
				go func() { defer close(hungUp); _, _ = io.Copy(io.Discard, c) }()
				_, err = io.WriteString(c, answer.first)
				for err == nil && answer.again != "" {
					_, err = io.WriteString(c, answer.again)
					// As fast as the client reads it would be too large at once.
					<-time.After(5 * time.Millisecond)
				}
				<-hungUp
			}()
			rt := newHTTPTransport(target{Endpoint: &Endpoint{}}, nil)
			defer rt.CloseIdleConnections()
			if rt.ResponseHeaderTimeout != headerTimeout {
				t.Errorf("headers may take %s", rt.ResponseHeaderTimeout)
			}
			rt.ResponseHeaderTimeout = 100 * time.Millisecond
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := rt.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("error %v", err)
			}
			_ = listener.Close()
			<-ended
		})
	}
}
