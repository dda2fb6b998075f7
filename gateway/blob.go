package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// blobs serves stored blobs, and those of registries, whose downloads are shared by
// requests for the same blob.
type blobs struct {
	shelf     *shelf
	upstreams *upstreams
	spools    *spools
}

// serve answers with a blob or one range of it. A whole blob is verified on the way. A
// range cannot be, unless the blob is stored: the digest is that of the whole.
func (b *blobs) serve(w http.ResponseWriter, r *http.Request, t *target) error {
	if _, ok := b.shelf.stored(r.Context(), t); ok {
		return b.serveStored(w, r, t)
	}
	unchanged := etagMatches(r, t.digest.String())
	wanted := wantedRange(r, t.digest.String())
	if r.Method == http.MethodGet && !unchanged {
		// A range does not start a shared download, but is served from one.
		if err := b.serveShared(w, r, t, wanted == ""); !errors.Is(err, errUnshared) {
			return unknownBlob(err)
		}
	}
	method, header := r.Method, http.Header{}
	if unchanged {
		// The registry decides whether the blob exists and may be read.
		method = http.MethodHead
	} else if wanted != "" && method == http.MethodGet {
		header.Set("Range", wanted)
	}
	resp, err := b.upstreams.resolverFor(t).fetch.Open(r.Context(), t.ref(), method, header, "blobs", t.digest.String())
	if err != nil {
		return unknownBlob(unsatisfiable(err, wanted))
	}
	defer resp.Body.Close()
	if unchanged {
		describe(w.Header(), t.digest, blobType)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return b.passOn(w, r, t, resp, wanted)
}

// passOn passes the registry's answer on.
func (b *blobs) passOn(w http.ResponseWriter, r *http.Request, t *target, resp *http.Response, wanted string) error {
	h := w.Header()
	body, err := bodyOf(h, resp, t, wanted)
	if err != nil {
		return err
	}
	describe(h, t.digest, blobType)
	h.Set("Accept-Ranges", "bytes")
	if resp.ContentLength > 0 || resp.ContentLength == 0 && t.isEmpty() {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.StatusCode)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err = io.Copy(w, body)
	finish(w, r, t, err)
	return nil
}

// serveShared answers from a download that others may read, too. It returns errUnshared
// if there is none to join and begin is false.
func (b *blobs) serveShared(w http.ResponseWriter, r *http.Request, t *target, begin bool) error {
	sp, leave, err := b.spools.join(r.Context(), t, begin)
	if err != nil {
		return err
	}
	defer leave()
	if sp.direct != nil {
		defer context.AfterFunc(r.Context(), leave)()
		return b.passOn(w, r, t, sp.direct, "")
	}
	defer sp.wakeWith(r.Context())()
	if sp.size == 0 {
		if err := verify(nil, t.named(), t.digest); err != nil {
			return err
		}
	}
	finish(w, r, t, serveSeekable(w, r, t, sp.size, func(offset int64) io.Reader { return sp.reader(r.Context(), offset) }))
	return nil
}

const blobType = "application/octet-stream"

// bodyOf returns the part of the registry's body to pass on.
func bodyOf(h http.Header, resp *http.Response, t *target, wanted string) (io.Reader, error) {
	if resp.StatusCode == http.StatusOK {
		if resp.Request.Method == http.MethodGet && resp.ContentLength == 0 {
			// This is known before anything is sent. A HEAD without a length may say 0.
			return resp.Body, verify(nil, t.named(), t.digest)
		}
		// A registry may ignore a Range.
		return newVerifier(resp.Body, t.named(), t.digest), nil
	}
	contentRange := resp.Header.Get("Content-Range")
	if !answersRange(contentRange, wanted) || resp.ContentLength < 0 {
		return nil, fmt.Errorf("%s: the registry answers %.100q with a range of %.100q", t.named(), wanted, contentRange)
	}
	h.Set("Content-Range", contentRange)
	return io.LimitReader(resp.Body, resp.ContentLength), nil
}

// finish ends the answer with a blob. After an error it cuts the connection, or the
// client would take a part for the whole.
func finish(w http.ResponseWriter, r *http.Request, t *target, err error) {
	if err == nil {
		return
	}
	if r.Context().Err() == nil {
		log.G(r.Context()).WithField("blob", t.named()).WithError(err).Warn("certsd gateway: a blob was cut short")
		if rec, ok := w.(*recorder); ok {
			// The status has been sent.
			rec.reason = "cut short: " + err.Error()
		}
	}
	panic(http.ErrAbortHandler)
}

// serveStored answers with a blob of a converted image.
func (b *blobs) serveStored(w http.ResponseWriter, r *http.Request, t *target) error {
	defer b.shelf.store.holds.reads(t.digest)()
	at, err := b.shelf.store.ReaderAt(r.Context(), ocispec.Descriptor{Digest: t.digest})
	if err != nil {
		return fmt.Errorf("%s in the gateway's store: %w", t.digest, err)
	}
	defer at.Close()
	if at.Size() == 0 && !t.isEmpty() {
		err := verify(nil, t.named(), t.digest)
		b.shelf.discard(r.Context(), t.digest, err)
		return err
	}
	if r.Method == http.MethodGet && wantedRange(r, t.digest.String()) != "" {
		err = b.shelf.verify(r.Context(), at, t)
		if errors.As(err, new(*digestError)) {
			b.shelf.discard(r.Context(), t.digest, err)
		}
		if err != nil {
			return err
		}
	}
	err = serveSeekable(w, r, t, at.Size(), func(offset int64) io.Reader {
		section := io.NewSectionReader(at, offset, at.Size()-offset)
		if offset > 0 {
			return section
		}
		return newVerifier(section, t.named(), t.digest)
	})
	if errors.As(err, new(*digestError)) {
		b.shelf.discard(r.Context(), t.digest, err)
	}
	finish(w, r, t, err)
	return nil
}

// serveSeekable leaves ranges and conditions to net/http. It returns a read error,
// after which nothing more may be written.
func serveSeekable(w http.ResponseWriter, r *http.Request, t *target, size int64, open func(offset int64) io.Reader) error {
	describe(w.Header(), t.digest, blobType)
	if wantedRange(r, t.digest.String()) == "" {
		r.Header.Del("Range")
	}
	body := &seekable{size: size, open: open}
	http.ServeContent(w, r, "", time.Time{}, body)
	return body.err
}

// seekable is a blob that can be read at any offset.
type seekable struct {
	size, offset int64
	open         func(offset int64) io.Reader
	// r reads from offset; it is nil until the first Read.
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (b *seekable) Read(p []byte) (int, error) {
	if b.r == nil {
		b.r = b.open(b.offset)
	}
	n, err := b.r.Read(p)
	b.offset += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// Seek implements io.Seeker.
func (b *seekable) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return b.offset, errors.New("seek before the beginning")
	}
	b.offset, b.r = offset, nil
	return offset, nil
}

// singleRange matches a Range header with one range of reasonable length. Several
// ranges, and invalid ones, are ignored: RFC 9110, 14.2.
var singleRange = regexp.MustCompile(`^bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})$`)

// wantedRange returns the Range to ask for, empty for the whole blob.
func wantedRange(r *http.Request, etag string) string {
	ranges := r.Header.Values("Range")
	if len(ranges) != 1 || len(ranges[0]) > 64 || !singleRange.MatchString(ranges[0]) {
		return ""
	}
	if condition := r.Header.Get("If-Range"); condition != "" && condition != strconv.Quote(etag) {
		return ""
	}
	return ranges[0]
}

// answersRange reports whether a Content-Range begins where the requested Range does.
// For a Range that counts from the end, any beginning will do.
func answersRange(contentRange, wanted string) bool {
	part, ok := bounded.ParseContentRange(contentRange)
	if !ok || part.Start < 0 || part.Total < 0 || contentRange != part.String() {
		return false // clients receive it unchanged
	}
	from, _, _ := strings.Cut(strings.TrimPrefix(wanted, "bytes="), "-")
	if from == "" {
		return wanted != ""
	}
	first, err := strconv.ParseInt(from, 10, 64)
	return err == nil && first == part.Start
}

// etagMatches reports whether the client has the content already: RFC 9110,
// 13.1.2. The list is bounded by the size of a header.
func etagMatches(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == strconv.Quote(etag) {
			return true
		}
	}
	return false
}
