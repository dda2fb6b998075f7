package v1compat

import (
	"fmt"
	"net/http"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// accept evaluates the answer to a request for the layer from offset on, allowing for
// the habits of existing servers:
//
//   - 200 is the whole layer, whether asked for or not;
//   - 206 continues, unless it begins elsewhere, has an unreadable Content-Range,
//     brings no bytes or is of another version. Content-Range lacks the unit in
//     Python 0.7 and later, and the total in 0.6.6. Without a total the end would
//     be unknown, so the layer starts over;
//   - 416 is the end if everything is there already. The Python registry also
//     sends it for the last byte alone, which starts over, and for a plain
//     request for an empty layer.
func (l *layer) accept(ep endpoint, segments []string, resp *answer, offset int64, known seen) (*LayerStream, error) {
	now := seen{base: ep.base, total: -1, validator: validator(resp.Header)}
	status := resp.StatusCode
	switch {
	case status == http.StatusOK:
		now.total = resp.ContentLength
		return l.stream(ep, segments, resp, 0, now), nil
	case status == http.StatusPartialContent && offset > 0:
		r, _ := bounded.ParseContentRange(resp.Header.Get("Content-Range"))
		now.total = partTotal(r, offset, resp.ContentLength, known.total)
		if !bounded.GoesOn(resp.Response, offset) || now.total < offset || known.differs(now) {
			discard(resp.Response)
			return nil, nil
		}
		return l.stream(ep, segments, resp, offset, now), nil
	case status == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		r, _ := bounded.ParseContentRange(resp.Header.Get("Content-Range"))
		discard(resp.Response)
		if now.total = endTotal(r, known.total, l.size); now.total != offset || known.differs(now) {
			return nil, nil
		}
		return l.nothing(offset, now), nil
	case status == http.StatusRequestedRangeNotSatisfiable && (l.size == 0 || announced(resp.Header) == 0):
		discard(resp.Response)
		now.total = 0
		return l.nothing(0, now), nil
	}
	return nil, l.s.refused(ep, segments, resp)
}

// stream returns the answer's body, which begins at start.
func (l *layer) stream(ep endpoint, segments []string, resp *answer, start int64, now seen) *LayerStream {
	l.note(now)
	wrap := func(err error) error {
		return l.s.located(ep, segments, &Error{Target: resp.target, Err: err})
	}
	body := &counted{ReadCloser: resp.Body, at: start, total: now.total}
	body.failed = func(err error) error {
		return wrap(fmt.Errorf("broken off after %d bytes: %w", body.at, err))
	}
	return &LayerStream{ReadCloser: body, Start: start, Total: now.total, Validator: now.validator, Wrap: wrap}
}

// nothing returns the empty rest of a layer that is complete.
func (l *layer) nothing(at int64, now seen) *LayerStream {
	l.note(now)
	return &LayerStream{ReadCloser: http.NoBody, Start: at, Total: at, Validator: now.validator}
}

// differs reports whether two answers are of different versions of the layer.
func (s seen) differs(now seen) bool {
	return s.total >= 0 && now.total >= 0 && s.total != now.total ||
		s.validator != "" && now.validator != "" && s.validator != now.validator
}

func validator(h http.Header) string {
	v := h.Get("ETag")
	if v == "" {
		v = h.Get("Last-Modified")
	}
	if len(v) > 256 {
		return "" // kept with the download, so it must be short
	}
	return v
}

// partTotal returns the size of the whole layer according to a 206 answer, or -1. The
// length of the body is the last resort, as the Python registry adds one to it.
func partTotal(r bounded.ContentRange, offset, length, known int64) int64 {
	switch {
	case r.Total >= 0:
		return r.Total
	case known >= 0:
		return known
	case length >= 0:
		return offset + length
	}
	return -1
}

// endTotal returns the size of the whole layer according to a 416 answer, or -1.
func endTotal(r bounded.ContentRange, known, announced int64) int64 {
	switch {
	case r.Total >= 0:
		return r.Total
	case known >= 0:
		return known
	case announced > 0:
		return announced
	}
	return -1
}
