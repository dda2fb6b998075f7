package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// refusals bounds the log lines about requests without the secret: one per period,
// with the number of requests in between.
type refusals struct {
	// mu guards the rest.
	mu    sync.Mutex
	next  time.Time
	quiet int
}

const refusalPeriod = 10 * time.Second

// tell reports whether to log a refusal, and how many were not logged before it.
func (f *refusals) tell(now time.Time) (before int, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Before(f.next) {
		f.quiet++
		return 0, false
	}
	before, f.quiet, f.next = f.quiet, 0, now.Add(refusalPeriod)
	return before, true
}

// recorder records the answer to a request.
type recorder struct {
	http.ResponseWriter
	deadline deadline
	// onHeader, if set, is called when the answer begins.
	onHeader func()
	status   int
	bytes    int64
	// reason is the error sent to the client, recorded because an answer to HEAD has
	// no body for it.
	reason string
	// err is why the client did not get the whole answer.
	err error
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		if r.onHeader != nil {
			r.onHeader()
		}
	}
	r.deadline.extend()
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.deadline.extend()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	r.err = cmp.Or(r.err, err)
	return n, err
}

// ReadFrom implements io.ReaderFrom: io.Copy's own buffer is small.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	buf, _ := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	defer r.deadline.watch()()
	return io.CopyBuffer(struct{ io.Writer }{r}, struct{ io.Reader }{src}, *buf)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// logAccess logs a request. The logger quotes the fields; only the registry is logged
// of the query, and nothing that could be secret of the header.
func (s *server) logAccess(r *http.Request, rec *recorder, began time.Time) {
	fields := log.Fields{
		"method": r.Method, "path": clip(r.URL.Path), "status": rec.status, "bytes": rec.bytes,
		"duration": time.Since(began).Round(time.Millisecond).String(), "client": r.RemoteAddr,
	}
	if ns := r.URL.Query().Get("ns"); ns != "" {
		fields["ns"] = clip(ns)
	}
	if agent := r.UserAgent(); agent != "" {
		fields["agent"] = clip(agent)
	}
	if rec.reason != "" {
		fields["reason"] = clip(rec.reason)
	}
	if errors.Is(rec.err, os.ErrDeadlineExceeded) {
		fields["error"] = fmt.Sprintf("the client read nothing for %s", s.stall)
	} else if rec.err != nil {
		fields["error"] = rec.err
	}
	if rec.status == http.StatusUnauthorized {
		before, tell := s.refusals.tell(time.Now())
		if !tell {
			return
		}
		fields["unlogged"] = before
	}
	log.G(r.Context()).WithFields(fields).Info("certsd gateway: request")
}

// clip bounds the length of a client's text.
func clip(text string) string { return safetext.Clip(text, 512) }
