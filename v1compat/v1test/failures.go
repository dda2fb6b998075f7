package v1test

import (
	"maps"
	"net/http"
	"regexp"
)

// Failure is what happens to the next requests that match. A failure that is
// queued first is used up first.
type Failure struct {
	// Method and Path (of the URL, without query) select requests; empty and nil
	// select all.
	Method string
	Path   *regexp.Regexp
	// Times is the number of requests that fail: one if zero, all if negative.
	Times int

	// Wait, if set, delays the answer until the channel is closed, or the
	// request is given up.
	Wait <-chan struct{}
	// Status, if set, is the answer, with Header and Body.
	Status int
	Header http.Header
	Body   string
	// CutAfter, if set, lets the registry answer and cuts the connection after
	// that many bytes of body; negative: before the header.
	CutAfter int64
	// Handler, if set, answers instead.
	Handler http.Handler
}

// Fail queues a failure.
func (s *Server) Fail(f Failure) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, &f)
}

// failing is next with the queued failures.
func (s *Server) failing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.failure(r)
		if f == nil {
			next.ServeHTTP(w, r)
			return
		}
		if f.Wait != nil {
			select {
			case <-f.Wait:
			case <-r.Context().Done():
				return
			}
		}
		switch {
		case f.Handler != nil:
			f.Handler.ServeHTTP(w, r)
		case f.Status != 0:
			maps.Copy(w.Header(), f.Header)
			w.WriteHeader(f.Status)
			_, _ = w.Write([]byte(f.Body))
		case f.CutAfter < 0:
			panic(http.ErrAbortHandler)
		case f.CutAfter > 0:
			next.ServeHTTP(&cutter{ResponseWriter: w, left: f.CutAfter}, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// failure takes the next failure for the request off the queue.
func (s *Server) failure(r *http.Request) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.failures {
		if f.Times == 0 || f.Method != "" && f.Method != r.Method || f.Path != nil && !f.Path.MatchString(r.URL.Path) {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

// cutter cuts the connection when the body has left bytes more.
type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(b []byte) (int, error) {
	if int64(len(b)) < c.left {
		c.left -= int64(len(b))
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Unwrap lets handlers flush.
func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
