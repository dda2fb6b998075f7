package gateway

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// FuzzSpoolReader reads a download from anywhere in it, while it arrives in
// pieces: what is read is what has arrived, from there to the end or the error.
func FuzzSpoolReader(f *testing.F) {
	f.Add([]byte("content"), 3, 0, 2, false)
	f.Add([]byte("content"), 1, 7, 1, false)
	f.Add([]byte("content"), 7, 3, 100, true)
	f.Add([]byte{}, 1, 0, 1, true)
	f.Fuzz(func(t *testing.T, body []byte, piece, offset, size int, fails bool) {
		if piece < 1 || size < 1 || size > 1<<16 || offset < 0 || offset > len(body) {
			return
		}
		file, err := os.Create(filepath.Join(t.TempDir(), "spool"))
		must(t, err)
		defer file.Close()
		sp := &spool{file: file, size: int64(len(body))}
		sp.grown = sync.NewCond(&sp.mu)
		ended := io.EOF
		if fails {
			ended = io.ErrUnexpectedEOF
		}
		var arrives sync.WaitGroup
		defer arrives.Wait()
		arrives.Go(func() {
			for at := 0; at < len(body); at += piece {
				n, err := file.WriteAt(body[at:min(at+piece, len(body))], int64(at))
				if err != nil {
					t.Error(err)
				}
				sp.mu.Lock()
				sp.written += int64(n)
				sp.grown.Broadcast()
				sp.mu.Unlock()
			}
			if fails {
				sp.end(io.ErrUnexpectedEOF)
			} else {
				sp.end(nil)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, got := sp.reader(ctx, int64(offset)), []byte(nil)
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = r.Read(p)
			got = append(got, p[:n]...)
		}
		rest := body[offset:]
		if fails && len(rest) > 0 && len(got) == len(rest) {
			t.Error("all of it is read though it failed")
		}
		if err != ended || fails && !bytes.HasPrefix(rest, got) || !fails && !bytes.Equal(got, rest) {
			t.Errorf("read %d of %d bytes from %d on: %v", len(got), len(body), offset, err)
		}
	})
}
