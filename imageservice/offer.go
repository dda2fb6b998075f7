package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// offer is an image that containerd may fetch from the loopback registry, by its digests.
// The zero value offers nothing.
type offer struct {
	// ctx is that of the pull, which cancel ends.
	ctx    context.Context //nolint:containedctx // containerd's requests are part of the pull
	cancel context.CancelFunc
	source source
	// documents are the index and the manifests, blobs the configurations and layers.
	documents map[digest.Digest]document
	blobs     map[digest.Digest]ocispec.Descriptor
	// platform is the one of the manifest.
	platform ocispec.Platform
	// asked is set once containerd has asked for anything; begun and active count its
	// requests for blobs, and those under way.
	asked         atomic.Bool
	begun, active atomic.Int64

	// requests are those under way.
	requests sync.WaitGroup
	// mu guards the rest.
	mu sync.Mutex
	// failed is why the registry's answers cannot be passed on.
	failed error
	// connections are those of all requests.
	connections map[net.Conn]bool
}

// document is an index or a manifest.
type document struct {
	mediaType string
	size      int64
	// body is nil if containerd may only know that it is there.
	body []byte
}

// begin is called for each request, before the offer can end.
func (o *offer) begin(r *http.Request) (done func()) {
	o.asked.Store(true)
	o.requests.Add(1)
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.connections == nil {
			o.connections = map[net.Conn]bool{}
		}
		o.connections[c] = true
	}
	return o.requests.Done
}

// end closes the offer's connections, which containerd would keep for a while, and waits
// for its requests. No more begin.
func (o *offer) end() {
	o.mu.Lock()
	for c := range o.connections {
		_ = c.Close()
	}
	o.mu.Unlock()
	o.requests.Wait()
}

// ServeHTTP implements http.Handler.
func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "read-only", http.StatusMethodNotAllowed)
		return
	}
	wanted := digest.Digest(path.Base(r.URL.Path))
	if d, ok := o.documents[wanted]; ok {
		describe(w, ocispec.Descriptor{MediaType: d.mediaType, Digest: wanted})
		w.Header().Set("Content-Length", strconv.FormatInt(d.size, 10))
		if r.Method == http.MethodGet {
			_, _ = w.Write(d.body) // containerd may be gone
		}
		return
	}
	desc, ok := o.blobs[wanted]
	if !ok {
		http.Error(w, "not a part of the image", http.StatusNotFound)
		return
	}
	describe(w, desc)
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.FormatInt(desc.Size, 10))
		return
	}
	o.serveBlob(w, r, desc)
}

func describe(w http.ResponseWriter, desc ocispec.Descriptor) {
	w.Header().Set("Content-Type", desc.MediaType)
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	w.Header().Set("Accept-Ranges", "bytes")
}

// serveBlob fetches a blob. The header is sent first: some versions of containerd wait
// thirty seconds for it (core/transfer since 2.3), and a registry may take longer. What
// fails after it can only be told by breaking the answer off.
func (o *offer) serveBlob(w http.ResponseWriter, r *http.Request, desc ocispec.Descriptor) {
	if o.failure() != nil {
		http.Error(w, "the pull has failed", http.StatusBadGateway)
		return
	}
	o.begun.Add(1)
	o.active.Add(1)
	defer o.active.Add(-1)
	from, to := wantedRange(r.Header, desc.Size)
	w.Header().Set("Content-Length", strconv.FormatInt(to-from, 10))
	if to-from < desc.Size {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, desc.Size))
		w.WriteHeader(http.StatusPartialContent)
	}
	if http.NewResponseController(w).Flush() != nil {
		return // containerd is gone
	}
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	if err := o.copy(ctx, w, desc, from, to); err != nil {
		o.fail(ctx, err)
		panic(http.ErrAbortHandler)
	}
}

// copy writes a part of a blob. It returns the registry's errors only.
func (o *offer) copy(ctx context.Context, w io.Writer, desc ocispec.Descriptor, from, to int64) error {
	b, err := o.open(ctx, desc, from, to)
	if err != nil {
		return err
	}
	defer b.Close()
	buffer, _ := blobBuffers.Get().(*[]byte)
	defer blobBuffers.Put(buffer)
	for err == nil {
		var n int
		n, err = fill(b, *buffer)
		if _, gone := w.Write((*buffer)[:n]); gone != nil {
			return nil //nolint:nilerr // containerd does not want the rest
		}
	}
	switch {
	case err != io.EOF:
		return err
	case b.left > 0:
		return fmt.Errorf("%s: %s: the registry has sent %d bytes fewer than the manifest says: %w", o.source.ref, desc.Digest, b.left, io.ErrUnexpectedEOF)
	}
	return nil
}

// part is the rest of a blob, or a part of it.
type part struct {
	io.Reader
	io.Closer

	left int64
}

// Read implements io.Reader.
func (p *part) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.Reader.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}

func (o *offer) open(ctx context.Context, desc ocispec.Descriptor, from, to int64) (*part, error) {
	rc, err := o.source.fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		s, ok := rc.(io.Seeker)
		if !ok {
			return nil, errors.Join(fmt.Errorf("%s: %s cannot be fetched from byte %d on", o.source.ref, desc.Digest, from), rc.Close())
		}
		if _, err := s.Seek(from, io.SeekStart); err != nil {
			return nil, errors.Join(err, rc.Close())
		}
	}
	return &part{Reader: rc, Closer: rc, left: to - from}, nil
}

// fail records why the registry's answer cannot be passed on, and ends the pull: containerd
// would ask again. That nobody wants the answer any more is no failure.
func (o *offer) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
		o.cancel()
	}
}

// failure returns why a transfer of the offer has failed, nil if the registry was not the
// reason.
func (o *offer) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// blobBuffers are large, because each piece wakes containerd up.
var blobBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// fill reads until the buffer is full, or the reader ends. TLS has records of 16 KiB.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var got int
		got, err = r.Read(buffer[n:])
		n += got
	}
	return n, err
}

// openRange matches the only ranges that containerd asks for, and those with an end.
var openRange = regexp.MustCompile(`^bytes=([0-9]{1,18})-([0-9]{1,18})?$`)

// wantedRange returns the bytes that a request for a blob of some size wants. As HTTP
// allows, a Range of another form is ignored (RFC 9110, section 14.2).
func wantedRange(h http.Header, size int64) (from, to int64) {
	m := openRange.FindStringSubmatch(h.Get("Range"))
	if m == nil {
		return 0, size
	}
	from, _ = strconv.ParseInt(m[1], 10, 64) // 18 digits fit
	last := size - 1
	if m[2] != "" {
		end, _ := strconv.ParseInt(m[2], 10, 64)
		last = min(last, end)
	}
	if from > last {
		return 0, size
	}
	return from, last + 1
}
