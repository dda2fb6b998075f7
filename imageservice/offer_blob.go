package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

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
	blob, err := o.open(ctx, desc, from)
	if err != nil {
		return err
	}
	defer blob.Close()
	part := &io.LimitedReader{R: blob, N: to - from}
	buffer, _ := blobBuffers.Get().(*[]byte)
	defer blobBuffers.Put(buffer)
	for err == nil {
		var n int
		n, err = fill(part, *buffer)
		if _, gone := w.Write((*buffer)[:n]); gone != nil {
			return nil //nolint:nilerr // containerd does not want the rest
		}
	}
	switch {
	case err != io.EOF:
		return err
	case part.N > 0:
		return fmt.Errorf("%s: %s: the registry has sent %d bytes fewer than the manifest says: %w", o.source.ref, desc.Digest, part.N, io.ErrUnexpectedEOF)
	}
	return nil
}

// open opens a blob from a byte on.
func (o *offer) open(ctx context.Context, desc ocispec.Descriptor, from int64) (io.ReadCloser, error) {
	rc, err := o.source.fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	if from == 0 {
		return rc, nil
	}
	s, ok := rc.(io.Seeker)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: %s cannot be fetched from byte %d on", o.source.ref, desc.Digest, from), rc.Close())
	}
	if _, err := s.Seek(from, io.SeekStart); err != nil {
		return nil, errors.Join(err, rc.Close())
	}
	return rc, nil
}

// blobBuffers are large, because each piece wakes containerd up.
var blobBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// fill reads until the buffer is full, or the reader ends: TLS has records of 16 KiB. Unlike
// io.ReadFull it keeps the end of a reader apart from one that was cut short.
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
