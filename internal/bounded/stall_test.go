package bounded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// piped makes a Transport whose answer is written by send. As http.Transport
// does, it ends the body when the request's context ends.
func piped(status int, send func(ctx context.Context, w io.Writer) error) *Transport {
	return &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
		r, w := io.Pipe()
		go func() { _ = w.CloseWithError(send(req.Context(), w)) }()
		context.AfterFunc(req.Context(), func() { _ = w.CloseWithError(req.Context().Err()) })
		return &http.Response{StatusCode: status, Header: http.Header{}, Request: req, Body: r}, nil
	})}
}

// drip sends a byte each pause, n times.
func drip(n int, pause time.Duration) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		for range n {
			if _, err := w.Write([]byte("a")); err != nil {
				return err
			}
			if err := sleep(ctx, pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// pour is a drip of 61 KiB each time.
func pour(n int, pause time.Duration) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		for range n {
			if _, err := w.Write(letters[:61<<10]); err != nil {
				return err
			}
			if err := sleep(ctx, pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestSilenceEndsAnAnswer waits a minute for each byte, and as long as it is
// due for small answers.
func TestSilenceEndsAnAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path string
		status     int
		send       func(context.Context, io.Writer) error
		bytes      int
		took       time.Duration
		want       string
	}{
		{"blob that drips", "/v2/app/blobs/" + digest, 200, drip(600, 59*time.Second), 12, 11 * 59 * time.Second, "reg.test sent 12 bytes of content in the last 10m49s"},
		{"blob that is slow", "/v2/app/blobs/" + digest, 200, pour(60, 59*time.Second), 60 * 61 << 10, 60 * 59 * time.Second, ""},
		{"blob that stops", "/v2/app/blobs/" + digest, 200, drip(3, 61*time.Second), 1, time.Minute, "unexpected EOF"},
		{"manifest that stops", "/v2/app/manifests/1", 200, drip(3, 61*time.Second), 1, time.Minute, "reg.test sent nothing for 1m0s"},
		{"error that stops", "/v2/app/blobs/" + digest, 500, drip(3, 61*time.Second), 1, time.Minute, "reg.test sent nothing for 1m0s"},
		{"manifest that drips", "/v2/app/manifests/1", 200, drip(600, 7*time.Second), 43, 5 * time.Minute, "reg.test was too slow with a manifest"},
		{"tags that drip", "/v2/app/tags/list", 200, drip(600, 7*time.Second), 43, 5 * time.Minute, "reg.test was too slow with a document"},
		{"error that drips", "/v2/app/tags/list", 401, drip(600, 7*time.Second), 18, 2 * time.Minute, "reg.test was too slow with an error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				_, text, err := get(t, piped(tt.status, tt.send), request(t, "", tt.path))
				if len(text) != tt.bytes || time.Since(begun) != tt.took {
					t.Errorf("%d bytes after %s, want %d after %s", len(text), time.Since(begun), tt.bytes, tt.took)
				}
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			})
		})
	}
}

// TestCutContentIsAnUnexpectedEnd itself, which containerd's reader compares
// with; the account knows more.
func TestCutContentIsAnUnexpectedEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, account := WithAccount(t.Context())
		req := request(t, "", "/v2/app/blobs/"+digest).WithContext(ctx)
		_, _, err := get(t, piped(200, drip(2, time.Hour)), req)
		if err != io.ErrUnexpectedEOF { //nolint:errorlint // as containerd does
			t.Errorf("error %v", err)
		}
		if why := account.Last(); why == nil || !strings.Contains(why.Error(), "reg.test sent nothing") {
			t.Errorf("account %v", why)
		}
	})
}

// TestHangingUpIsNoEnd has a server that ends its answer properly as soon as it
// sees that nobody waits any more.
func TestHangingUpIsNoEnd(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/v2/app/manifests/1":     "reg.test sent nothing for 1m0s",
		"/v2/app/blobs/" + digest: io.ErrUnexpectedEOF.Error(),
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
				r, w := io.Pipe()
				context.AfterFunc(req.Context(), func() { _ = w.Close() })
				return &http.Response{StatusCode: 200, Header: http.Header{}, Request: req, Body: r}, nil
			})}
			if _, _, err := get(t, rt, request(t, "", path)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
}

// TestGivenUpIsNoCut leaves the caller's own end alone.
func TestGivenUpIsNoCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := get(t, piped(200, drip(2, time.Hour)), request(t, "", "/v2/app/blobs/"+digest).WithContext(ctx))
		if err == nil || err == io.ErrUnexpectedEOF || !errors.Is(err, context.DeadlineExceeded) { //nolint:errorlint // itself
			t.Errorf("error %v", err)
		}
	})
}

// TestReadersMayTakeTheirTime does not count it as the server's.
func TestReadersMayTakeTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := piped(200, drip(2, time.Second))
		resp, err := rt.RoundTrip(request(t, "", "/v2/app/blobs/"+digest))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b [1]byte
		for range 2 {
			if _, err := resp.Body.Read(b[:]); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestServerThatTakesNothing stalls an upload; a body that has nothing to give
// does not.
func TestServerThatTakesNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body io.Reader
		take time.Duration
		want string
	}{
		"slow body":      {&slow{n: 3, pause: time.Hour}, time.Second, ""},
		"stalled server": {&slow{n: 3}, 61 * time.Second, "reg.test took nothing of what was sent to it for 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rt := &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
					var b [1]byte
					for {
						_, err := req.Body.Read(b[:])
						if err == io.EOF {
							return says(201, "")(req), nil
						}
						select {
						case <-time.After(tt.take):
						case <-req.Context().Done():
							return nil, req.Context().Err()
						}
					}
				})}
				req := request(t, http.MethodPut, "/v2/app/blobs/uploads/1")
				req.Body = io.NopCloser(tt.body)
				_, _, err := get(t, rt, req)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			})
		})
	}
}

// slow has n bytes, each after a pause.
type slow struct {
	n     int
	pause time.Duration
}

func (s *slow) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(s.pause)
	return 1, nil
}
