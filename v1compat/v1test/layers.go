package v1test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// image answers images/{id}/{what}.
func (s protocol) image(w http.ResponseWriter, r *http.Request, id, what string) {
	q := s.quirks
	img := s.lookup(id)
	if img == nil {
		s.missing(w, "Image not found")
		return
	}
	if q.Redirect != "" && (what == "layer" || !q.RedirectLayers) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Location", q.Redirect+"/"+id+"/"+what)
		w.WriteHeader(http.StatusFound)
		return
	}
	switch what {
	case "ancestry":
		writeJSON(w, img.Ancestry)
	case "json":
		s.json(w, img)
	case "layer":
		s.layer(w, r, img)
	default:
		s.missing(w, "Not found")
	}
}

func (s protocol) lookup(id string) *Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.images[id]
}

func (s protocol) json(w http.ResponseWriter, img *Image) {
	switch s.quirks.Size {
	case SizeRight:
		w.Header().Set("X-Docker-Size", strconv.Itoa(len(img.Data)))
	case SizeWrong:
		w.Header().Set("X-Docker-Size", strconv.Itoa(len(img.Data)+1))
	case SizeJunk:
		w.Header().Set("X-Docker-Size", "many")
	}
	if s.quirks.Checksum != "" {
		w.Header().Add(s.quirks.Checksum, "tarsum+sha256:"+strings.Repeat("0", 64))
		w.Header().Add(s.quirks.Checksum, img.Checksum())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(img.JSON)
}

func (s protocol) layer(w http.ResponseWriter, r *http.Request, img *Image) {
	q, h := s.quirks, w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if q.LayerType != "" {
		h.Set("Content-Type", q.LayerType)
	}
	if q.LayerEncoding != "" {
		h.Set("Content-Encoding", q.LayerEncoding)
	}
	start, ranged := parseRange(r.Header.Get("Range"))
	switch {
	case ranged && q.Ranges != RangesIgnored:
		s.part(w, img.Data, start)
	case len(img.Data) == 0 && q.Empty416:
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	default:
		if !q.Chunked {
			h.Set("Content-Length", strconv.Itoa(len(img.Data)))
		}
		w.WriteHeader(http.StatusOK)
		if q.Chunked {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = w.Write(img.Data)
	}
}

// part answers a Range from start on.
func (s protocol) part(w http.ResponseWriter, data []byte, start int) {
	h, n := w.Header(), len(data)
	mode := s.quirks.Ranges
	if start >= n || mode == RangesRefused || mode == RangesNoUnit && start == n-1 {
		if mode == RangesRight {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", n))
		}
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	length := n - start
	switch mode {
	case RangesNoTotal:
		h.Set("Content-Range", fmt.Sprintf("%d-%d/*", start, n-1))
		w.WriteHeader(http.StatusPartialContent)
		_ = http.NewResponseController(w).Flush() // chunked: no length
	case RangesNoUnit:
		h.Set("Content-Range", fmt.Sprintf("%d-%d/%d", start, n, n))
		h.Set("Content-Length", strconv.Itoa(length+1))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(data[start:])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // the body ends before its length
	case RangesShifted:
		start /= 2
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, n-1, n))
		w.WriteHeader(http.StatusPartialContent)
	case RangesHeadless:
		h.Set("Content-Length", strconv.Itoa(length))
		w.WriteHeader(http.StatusPartialContent)
	default:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, n-1, n))
		h.Set("Content-Length", strconv.Itoa(length))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(data[start:])
}

// parseRange reads "bytes=n-" and "bytes=n-m", whose end is ignored.
func parseRange(s string) (int, bool) {
	first, _, ok := strings.Cut(strings.TrimPrefix(s, "bytes="), "-")
	start, err := strconv.Atoi(first)
	return start, ok && err == nil
}
