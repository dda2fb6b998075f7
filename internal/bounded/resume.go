package bounded

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/beginning"
)

// resumption reports whether a request asks for the rest of something, and from which
// offset.
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

// GoesOn reports whether the answer to a request for the rest of something is, as far
// as can be told, the rest, all of it, or an error; it then rewrites the Content-Range
// of a part in the form of RFC 9110. Otherwise the server cannot resume: its part is
// empty, is from another or an unknown place, or it denies that there is a rest.
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
			// The caller may understand only the standard form.
			resp.Header.Set("Content-Range", part.String())
		}
	}
	return true
}

// hasBytes reports whether an answer has a first byte, or fails before it, without
// consuming the byte. The next read reports the failure.
func hasBytes(resp *http.Response) bool {
	first, err := beginning.Of(resp, 1)
	return len(first) > 0 || err != nil
}

// fromStart returns the request for the whole instead of the rest.
func fromStart(req *http.Request) *http.Request {
	whole := req.Clone(req.Context())
	whole.Header.Del("Range")
	whole.Header.Del("If-Range")
	return whole
}

// ContentRange is a Content-Range header. Start and End, the last byte, are -1 if
// absent, as in "bytes */10", and so is Total if it is "*".
type ContentRange struct{ Start, End, Total int64 }

// String returns the header in the form of RFC 9110.
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

// ParseContentRange parses "bytes 5-9/10", with or without the unit, and "bytes */10".
// It rejects impossible ranges, such as a part beyond the end.
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
		end = min(end, r.Total-1) // Python servers give the total as the end
	}
	r.Start, r.End = start, end
	return r, true
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil // n has at most 63 bits
}
