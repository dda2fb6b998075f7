package bounded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestBodyEndsWithItsRequest: what nobody writes to any more keeps neither the
// request nor a goroutine of http.Transport's, however the request ends.
func TestBodyEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		// again repeats the request once, with another body.
		again  bool
		answer int
		body   string
		want   error
	}{
		{name: "given up", want: context.Canceled},
		{name: "given up, again", again: true, want: context.Canceled},
		{name: "refused early", answer: http.StatusForbidden, body: "no"},
		{name: "taken early", answer: http.StatusCreated},
		{name: "taken early, again", again: true, answer: http.StatusCreated},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				switch asked++; {
				case row.again && asked == 1:
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(http.StatusTooManyRequests)
				case row.answer == 0:
					cancel()
					_, _ = io.Copy(io.Discard, r.Body)
				default:
					w.WriteHeader(row.answer)
					_, _ = io.WriteString(w, row.body)
				}
			}))
			defer server.Close()
			plain := &http.Transport{}
			defer plain.CloseIdleConnections()
			var writers []*io.PipeWriter
			body := func() (io.ReadCloser, error) {
				r, w := io.Pipe()
				writers = append(writers, w)
				return r, nil
			}
			first, _ := body()
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, first)
			if err != nil {
				t.Fatal(err)
			}
			req.GetBody, req.ContentLength = body, 100
			resp, err := (&Transport{Next: plain}).RoundTrip(req)
			if !errors.Is(err, row.want) {
				t.Fatal(err)
			}
			if err == nil {
				if resp.StatusCode != row.answer {
					t.Error(resp.Status)
				}
				_ = resp.Body.Close()
			}
			if want := map[bool]int{true: 2, false: 1}[row.again]; len(writers) != want {
				t.Errorf("%d bodies, want %d", len(writers), want)
			}
			for _, w := range writers {
				// It returns when the reader is closed, and only then.
				if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("a body ends with %v", err)
				}
			}
		})
	}
}
