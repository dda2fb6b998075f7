package v1compat

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		p := newPatient(t.Context(), time.Minute)
		p.begin(struct {
			io.Reader
			io.Closer
		}{r, r})
		stop := afterCancel(p, r)
		defer stop()

		go func() {
			_, _ = w.Write([]byte("a"))
			time.Sleep(59 * time.Second)
			_, _ = w.Write([]byte("b"))
		}()
		b := make([]byte, 1)
		for _, want := range "ab" {
			if _, err := p.Read(b); err != nil || rune(b[0]) != want {
				t.Fatalf("%q, %v", b, err)
			}
			time.Sleep(time.Hour) // the reader's own time does not count
		}
		if err := p.ctx.Err(); err != nil {
			t.Errorf("given up while nobody read: %v", err)
		}
		start := time.Now()
		if _, err := p.Read(b); !errors.Is(err, errSlow) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("waited %s", d)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// afterCancel does what a transport does when its request's context ends.
func afterCancel(p *patient, r *io.PipeReader) func() {
	done := make(chan struct{})
	go func() {
		select {
		case <-p.ctx.Done():
			_ = r.CloseWithError(p.ctx.Err())
		case <-done:
		}
	}()
	return func() { close(done) }
}
