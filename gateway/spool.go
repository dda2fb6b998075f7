package gateway

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// spools lets requests for the same blob share one download. Its bytes are in an
// unnamed file while clients read it: nothing is left behind, however the process ends,
// and only what the registry sent to one of these requests is served.
type spools struct {
	dir string
	// limit bounds the bytes of all spools. A blob that does not fit is passed on to
	// one client as it arrives.
	limit int64
	// open requests a blob from an offset on.
	open func(ctx context.Context, t *target, offset int64) (*http.Response, error)
	//nolint:containedctx // a download belongs to nobody's request
	ctx context.Context
	// pause waits before another attempt; nil uses a timer. Tests replace it.
	pause func(context.Context, time.Duration) error

	// mu guards the rest.
	mu     sync.Mutex
	byName map[string]*spool
	used   int64
	wait   sync.WaitGroup
}

// spool is the download of one blob.
type spool struct {
	target *target
	cancel context.CancelFunc

	// opened is closed when size, direct and openErr are set.
	opened  chan struct{}
	size    int64
	openErr error
	// direct is the answer for the request that started the download, if it cannot be
	// shared.
	direct *http.Response
	file   *os.File

	// readers is guarded by spools.mu.
	readers int

	// mu guards the rest.
	mu sync.Mutex
	// written is how many bytes have arrived. They are verified once done is set
	// without err.
	written int64
	done    bool
	err     error
	// grown signals a change of these.
	grown *sync.Cond
}

// errUnshared tells a request to ask the registry itself.
var errUnshared = errors.New("not shared")

// join returns the download of a blob once it has been opened. leave must be called at
// the end.
func (s *spools) join(ctx context.Context, t *target, begin bool) (sp *spool, leave func(), err error) {
	name := t.key()
	s.mu.Lock()
	sp, found := s.byName[name]
	if !found {
		if !begin || s.limit <= 0 {
			s.mu.Unlock()
			return nil, nil, errUnshared
		}
		sp = s.begin(t, name)
	}
	sp.readers++
	s.mu.Unlock()
	leave = sync.OnceFunc(func() { s.leave(name, sp) })
	select {
	case <-sp.opened:
	case <-ctx.Done():
		leave()
		return nil, nil, ctx.Err()
	}
	switch {
	case sp.openErr != nil:
		err = sp.openErr
	case sp.direct != nil && found:
		err = errUnshared
	default:
		return sp, leave, nil
	}
	leave()
	return nil, nil, err
}

// begin starts a download. The caller holds mu.
func (s *spools) begin(t *target, name string) *spool {
	ctx, cancel := context.WithCancel(s.ctx)
	sp := &spool{target: t, cancel: cancel, opened: make(chan struct{})}
	sp.grown = sync.NewCond(&sp.mu)
	s.byName[name] = sp
	s.wait.Go(func() {
		resp, err := s.open(ctx, t, 0)
		if err == nil && resp.ContentLength >= 0 {
			err = s.reserve(sp, resp.ContentLength)
		}
		switch {
		case resp == nil:
			sp.openErr = err
		case err != nil || resp.ContentLength < 0:
			// It does not fit, or its size is unknown.
			sp.direct = resp
		}
		if sp.openErr != nil || sp.direct != nil {
			s.forget(name, sp)
			close(sp.opened)
			return
		}
		close(sp.opened)
		sp.end(s.download(ctx, sp, resp))
	})
	return sp
}

// reserve creates the file for a blob and allocates its size on disk: if that fails,
// the blob can still be passed on.
func (s *spools) reserve(sp *spool, size int64) error {
	if !s.take(size) {
		return errUnshared
	}
	file, err := unnamedFile(s.dir)
	if err == nil && size > 0 {
		if err = allocate(file, size); err != nil {
			_ = file.Close()
		}
	}
	if err != nil {
		s.giveBack(size)
		return err
	}
	sp.file, sp.size = file, size
	return nil
}

// take counts a download against the limit, if there is room.
func (s *spools) take(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size > s.limit-s.used {
		return false
	}
	s.used += size
	return true
}

func (s *spools) giveBack(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= size
}

// unlinkedFile creates a file and removes its name. A process that is killed in
// between leaves it behind, empty.
func unlinkedFile(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// forget keeps further requests from joining a download.
func (s *spools) forget(name string, sp *spool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == sp {
		delete(s.byName, name)
	}
}

// leave ends a download that no client reads any more.
func (s *spools) leave(name string, sp *spool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp.readers--; sp.readers > 0 {
		return
	}
	if s.byName[name] == sp {
		delete(s.byName, name)
	}
	sp.cancel()
	s.wait.Go(func() { s.discard(sp) })
}

// discard releases the space of a download once it has ended.
func (s *spools) discard(sp *spool) {
	<-sp.opened
	if sp.direct != nil {
		_ = sp.direct.Body.Close()
	}
	if sp.file == nil {
		return
	}
	sp.waitEnd()
	_ = sp.file.Close()
	s.giveBack(sp.size)
}

const (
	// maxResumes is how often in a row a cut download is resumed without progress,
	// maxPause the longest wait before a try: half a minute in all.
	maxResumes = 7
	maxPause   = 8 * time.Second
)

// download fills the file and verifies it. A cut download is resumed: the failure of
// one request must not end it for all readers.
func (s *spools) download(ctx context.Context, sp *spool, resp *http.Response) error {
	hash := sp.target.digest.Algorithm().Hash()
	var err error
	for fruitless := 0; ; fruitless++ {
		if resp != nil {
			before := sp.have()
			err = sp.fill(resp.Body, hash)
			_ = resp.Body.Close()
			if err == nil {
				return sp.verify(hash)
			}
			if sp.have() > before {
				fruitless = 0
			}
		}
		if ctx.Err() != nil || fruitless >= maxResumes || isFinal(err) {
			return err
		}
		if fruitless > 0 {
			if perr := s.rest(ctx, min(250*time.Millisecond<<(fruitless-1), maxPause)); perr != nil {
				return perr
			}
		}
		if resp, err = s.resume(ctx, sp); err != nil {
			err = fmt.Errorf("%s: cut after %d of %d bytes: %w", sp.target.named(), sp.have(), sp.size, err)
		}
	}
}

// isFinal reports whether asking again will not help.
func isFinal(err error) bool {
	if errors.As(err, new(*diskError)) || errors.As(err, new(*bounded.SlowError)) {
		return true
	}
	status, _ := statusOf(err)
	answer, _ := registrysAnswer(err)
	return status == http.StatusForbidden || status == http.StatusNotFound || answer == http.StatusRequestedRangeNotSatisfiable
}

func (s *spools) rest(ctx context.Context, d time.Duration) error {
	if s.pause != nil {
		return s.pause(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resume requests the rest. A registry without ranges sends everything again; the known
// part is skipped.
func (s *spools) resume(ctx context.Context, sp *spool) (*http.Response, error) {
	have := sp.have()
	resp, err := s.open(ctx, sp.target, have)
	if err != nil {
		return nil, err
	}
	contentRange := resp.Header.Get("Content-Range")
	switch {
	case have == 0 && resp.StatusCode == http.StatusOK:
		return resp, nil
	case resp.StatusCode == http.StatusPartialContent && answersRange(contentRange, fmt.Sprintf("bytes=%d-", have)):
		return resp, nil
	case resp.StatusCode == http.StatusOK && resp.ContentLength == sp.size:
		if _, err = io.CopyN(io.Discard, resp.Body, have); err == nil {
			return resp, nil
		}
	default:
		err = fmt.Errorf("the registry does not resume from there, but answers %d with a range of %.100q", resp.StatusCode, contentRange)
	}
	return nil, errors.Join(err, resp.Body.Close())
}

// diskError is an error that resuming cannot fix, such as one of the file.
type diskError struct{ error }

// Unwrap returns the cause.
func (e *diskError) Unwrap() error { return e.error }

// copyBuffers are larger than a TLS record of 16 KiB, each of which would wake the
// readers.
var copyBuffers = sync.Pool{New: func() any {
	buf := make([]byte, 256<<10)
	return &buf
}}

// readMost reads until half of p is full or nothing follows.
func readMost(r io.Reader, p []byte) (n int, err error) {
	for n < len(p)/2 && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// fill appends a body to the file.
func (sp *spool) fill(body io.Reader, hash hash.Hash) error {
	buf, _ := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	at := sp.have()
	for {
		n, err := readMost(body, *buf)
		if int64(n) > sp.size-at {
			return &diskError{fmt.Errorf("%s: more than the %d bytes that were announced", sp.target.named(), sp.size)}
		}
		if _, err := sp.file.WriteAt((*buf)[:n], at); err != nil {
			return &diskError{err}
		}
		_, _ = hash.Write((*buf)[:n])
		at += int64(n)
		sp.publish(at)
		if err == io.EOF && at == sp.size {
			return nil
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

func (sp *spool) verify(hash hash.Hash) error {
	if got := digest.NewDigest(sp.target.digest.Algorithm(), hash); got != sp.target.digest {
		return &digestError{ref: sp.target.named(), want: sp.target.digest, got: got}
	}
	return nil
}

func (sp *spool) have() int64 {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.written
}

func (sp *spool) publish(written int64) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.written = written
	sp.grown.Broadcast()
}

func (sp *spool) end(err error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.done, sp.err = true, err
	sp.grown.Broadcast()
}

func (sp *spool) waitEnd() {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for !sp.done {
		sp.grown.Wait()
	}
}

// available waits for content after offset. The last byte becomes available once all
// are verified.
func (sp *spool) available(ctx context.Context, offset int64) (int64, error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for {
		there := min(sp.written, sp.size-1)
		if sp.done && sp.err == nil {
			there = sp.size
		}
		switch {
		case there > offset:
			return there - offset, nil
		case sp.done && sp.err != nil:
			return 0, sp.err
		case sp.done:
			return 0, io.EOF
		case ctx.Err() != nil:
			return 0, ctx.Err()
		}
		sp.grown.Wait()
	}
}

// reader returns a reader from offset that ends with ctx.
func (sp *spool) reader(ctx context.Context, offset int64) io.Reader {
	return &spoolReader{spool: sp, ctx: ctx, offset: offset}
}

type spoolReader struct {
	spool *spool
	//nolint:containedctx // Read is given none
	ctx    context.Context
	offset int64
}

// Read implements io.Reader.
func (r *spoolReader) Read(p []byte) (int, error) {
	n, err := r.spool.available(r.ctx, r.offset)
	if err != nil {
		return 0, err
	}
	n = min(n, int64(len(p)))
	read, err := r.spool.file.ReadAt(p[:n], r.offset)
	r.offset += int64(read)
	return read, err
}

// wakeWith wakes the readers when ctx ends.
func (sp *spool) wakeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		sp.grown.Broadcast()
	})
}
