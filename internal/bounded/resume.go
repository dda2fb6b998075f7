package bounded

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/beginning"
)

// resumption reports whether a request asks for the rest of something, from an
// offset on.
func resumption(req *http.Request) (offset int64, ok bool) {
	if req.Method != "" && req.Method != http.MethodGet {
		return 0, false
	}
	span, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
	if !ok {
		return 0, false
	}
	first, ok := strings.CutSuffix(span, "-")
	if !ok {
		return 0, false
	}
	offset, ok = number(first)
	return offset, ok && offset > 0
}

// GoesOn reports whether an answer to a request for the rest of something is
// that, as far as it can be told, or an error, or all of it; the Content-Range of
// a part is put into the form of RFC 9110 then. Otherwise the
// server cannot go on: its part is of another place, of unknown place or of no
// bytes, or it denies that there is a rest.
func GoesOn(resp *http.Response, offset int64) bool {
	value := resp.Header.Get("Content-Range")
	part, readable := ParseContentRange(value)
	switch resp.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable:
		return readable && part.Total >= 0 && part.Total <= offset
	case http.StatusPartialContent:
		elsewhere := value != "" && (!readable || part.Start != offset)
		several := strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "multipart/")
		if elsewhere || several || !hasBytes(resp) {
			return false
		}
		if value != "" {
			// Whoever asked may know but the one form of it.
			resp.Header.Set("Content-Range", part.String())
		}
	}
	return true
}

// hasBytes waits for the first byte of an answer, and leaves the answer whole. A
// server from which nothing comes may go on all the same: that is told by the
// next read.
func hasBytes(resp *http.Response) bool {
	first, err := beginning.Of(resp, 1)
	return len(first) > 0 || err != nil
}

// fromStart returns the request for all of it.
func fromStart(req *http.Request) *http.Request {
	whole := req.Clone(req.Context())
	whole.Header.Del("Range")
	whole.Header.Del("If-Range")
	return whole
}

// ContentRange is a Content-Range header. Start and End, the last byte, are -1
// where there are none, as in "bytes */10", and Total where it is "*".
type ContentRange struct{ Start, End, Total int64 }

// String returns the header as RFC 9110 has it.
func (r ContentRange) String() string {
	total, span := "*", "*"
	if r.Total >= 0 {
		total = strconv.FormatInt(r.Total, 10)
	}
	if r.Start >= 0 {
		span = fmt.Sprintf("%d-%d", r.Start, r.End)
	}
	return "bytes " + span + "/" + total
}

// ParseContentRange reads "bytes 5-9/10", with or without the unit, and "bytes
// */10". What cannot be, such as a part behind the end, is not read.
func ParseContentRange(s string) (ContentRange, bool) {
	none := ContentRange{Start: -1, End: -1, Total: -1}
	s = strings.TrimSpace(s)
	if unit := "bytes"; len(s) >= len(unit) && strings.EqualFold(s[:len(unit)], unit) {
		s = strings.TrimLeft(s[len(unit):], " =\t")
	}
	span, size, ok := strings.Cut(s, "/")
	if !ok {
		return none, false
	}
	r := none
	if size = strings.TrimSpace(size); size != "*" {
		if r.Total, ok = number(size); !ok {
			return none, false
		}
	}
	if span = strings.TrimSpace(span); span == "*" {
		return r, r.Total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	start, ok1 := number(first)
	end, ok2 := number(last)
	if !ok1 || !ok2 || end < start {
		return none, false
	}
	if r.Total >= 0 {
		if start >= r.Total || end > r.Total {
			return none, false
		}
		end = min(end, r.Total-1) // python says the total
	}
	r.Start, r.End = start, end
	return r, true
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil // 63 bits
}
