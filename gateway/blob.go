package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/log"
)

// serveBlob answers with a blob, or with one range of it. All of a blob is
// verified on the way; a range is not, as its digest is that of the whole.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, t *target) error {
	method, header := r.Method, http.Header{}
	unchanged := etagMatches(r, t.digest.String())
	if unchanged {
		// Whether it is there, and for us, is for the registry to say.
		method = http.MethodHead
	} else if wanted := wantedRange(r, t.digest.String()); wanted != "" && method == http.MethodGet {
		header.Set("Range", wanted)
	}
	resp, err := s.resolverFor(t).Open(r.Context(), t.ref(), method, header, "blobs", t.digest.String())
	if err != nil {
		return unknownBlob(err)
	}
	defer resp.Body.Close()
	h := w.Header()
	h.Set("Docker-Content-Digest", t.digest.String())
	h.Set("Etag", strconv.Quote(t.digest.String()))
	h.Set("Accept-Ranges", "bytes")
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	body, err := bodyOf(h, resp, t, header.Get("Range"))
	if err != nil {
		return err
	}
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.StatusCode)
	if method == http.MethodHead {
		return nil
	}
	s.stream(w, r, t, body)
	return nil
}

// bodyOf is what to pass on of an answer.
func bodyOf(h http.Header, resp *http.Response, t *target, wanted string) (io.Reader, error) {
	if resp.StatusCode == http.StatusOK {
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

// stream copies content to a client. Where it fails the connection is cut: the
// client must not take what it has for all of it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, t *target, body io.Reader) {
	if _, err := io.Copy(w, body); err != nil {
		if r.Context().Err() == nil {
			log.G(r.Context()).WithField("blob", t.named()).WithError(err).Warn("certsd gateway: a blob was cut short")
		}
		panic(http.ErrAbortHandler)
	}
}

// singleRange is a Range of one range, of a length that no client needs more
// than. Several, and what is none, are ignored: RFC 9110, 14.2.
var singleRange = regexp.MustCompile(`^bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})$`)

// wantedRange is the Range to ask for, empty for the whole.
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

// answersRange tells whether a Content-Range begins where the Range asked for
// does. Where that counts from the end nobody knows the beginning.
func answersRange(contentRange, wanted string) bool {
	var start, end, size int64
	if n, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &start, &end, &size); n != 3 || err != nil || start > end || end >= size {
		return false
	}
	from, _, _ := strings.Cut(strings.TrimPrefix(wanted, "bytes="), "-")
	first, err := strconv.ParseInt(from, 10, 64)
	return errors.Is(err, strconv.ErrSyntax) && from == "" || err == nil && first == start
}

// etagMatches tells whether the client has the content already: RFC 9110,
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
