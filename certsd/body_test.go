package certsd

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// closing counts how often a body is closed.
type closing struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (c *closing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func TestBodies(t *testing.T) {
	t.Parallel()
	rewind := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
	for name, row := range map[string]struct {
		getBody func() (io.ReadCloser, error)
		want    []string
		status  int
	}{
		"with GetBody it is sent again":           {rewind, []string{"a", "b"}, 200},
		"without GetBody it stays at the first":   {nil, []string{"a"}, 403},
		"with GetBody failing the answer returns": {func() (io.ReadCloser, error) { return nil, io.EOF }, []string{"a"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "b")})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			ctx, trail := WithTrail(t.Context())
			body := &closing{Reader: strings.NewReader("hello")}
			req := newRequest(ctx, t, "PUT", s.URL+"/v2/app/manifests/x", "")
			req.Body, req.GetBody, req.ContentLength = body, row.getBody, 5
			resp, err := view(t, dir.transport(t), s.host, nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			resp.Body.Close()
			if resp.StatusCode != row.status || row.status == 403 && !strings.Contains(string(text), "not for a") {
				t.Errorf("status %d, body %q", resp.StatusCode, text)
			}
			if resp.Request != req {
				t.Error("the response's request is not the one that was made")
			}
			requests := s.takeAll()
			var got []string
			for _, r := range requests {
				got = append(got, r.Client)
				if r.Body != "hello" {
					t.Errorf("body %q", r.Body)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if body.closed == 0 {
				t.Error("the body was not closed")
			}
			if hinted := strings.Contains(trail.String(), "cannot be sent a second time"); hinted != (row.status == 403) {
				t.Errorf("trail:\n%s", trail)
			}
		})
	}
}

func TestBodyIsClosedOnErrors(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	dir.add(t, "broken.example")
	dir.write(t, "broken.example/hosts.toml", "rubbish")
	dir.add(t, "tls.example")
	for name, url := range map[string]string{
		"unusable configuration": "https://broken.example/v2/",
		"plain HTTP refused":     "http://tls.example/v2/",
		"nobody there":           "https://127.0.0.1:1/v2/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &closing{Reader: strings.NewReader("hello")}
			req := newRequest(t.Context(), t, "POST", url, "")
			req.Body = body
			if resp, err := dir.transport(t).RoundTrip(req); err == nil {
				resp.Body.Close()
				t.Fatal("no error")
			}
			if body.closed == 0 {
				t.Error("the body was not closed")
			}
		})
	}
}

// A discarded answer gives its connection back unless it is too long for that.
func TestDiscardedAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		size  int
		conns int
	}{
		"of 20 KiB keep the connection": {20 << 10, 2},
		"of 8 MiB close it":             {8 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
				if client == "a" {
					w.WriteHeader(403)
					_, _ = w.Write(make([]byte, row.size))
				}
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			rt := view(t, dir.transport(t), s.host, nil)
			get(t, rt, s.URL+"/v2/app/manifests/1")
			get(t, rt, s.URL+"/v2/other/manifests/1")
			if s.conns != row.conns {
				t.Errorf("%d connections, want %d", s.conns, row.conns)
			}
			s.waitClosed(t, row.conns-2)
		})
	}
}
