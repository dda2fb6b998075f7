package bounded

import (
	"net/http"
	"testing"
)

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	rows := []struct {
		header       string
		start, total int64
		ok           bool
	}{
		{"bytes 5-9/10", 5, 10, true},
		{"5-9/10", 5, 10, true},  // python
		{"5-10/10", 5, 10, true}, // python since 0.7: the end is the size
		{"5-9/*", 5, -1, true},   // python 0.6.6
		{"bytes=5-9/10", 5, 10, true},
		{"Bytes 5-9/10", 5, 10, true},
		{"bytes */10", -1, 10, true},
		{"bytes */*", -1, -1, false},
		{"", -1, -1, false},
		{"bytes 5-9", -1, -1, false},
		{"bytes 9-5/10", -1, -1, false},
		{"bytes -5-9/10", -1, -1, false},
		{"bytes 5-9/x", -1, -1, false},
		{"bytes 99999999999999999999-1/2", -1, -1, false},
		{"bytes +5-9/10", -1, -1, false},
		{"bytes 5-11/10", -1, -1, false},
		{"bytes 10-10/10", -1, -1, false},
		{"bytes 5-9/3", -1, -1, false},
		{"bytes 5-9/10 and more", -1, -1, false},
		{"bytes 5-9/10, bytes 1-2/10", -1, -1, false},
		{"bytes 5-garbage", -1, -1, false},
		{"lines 5-9/10", -1, -1, false},
	}
	for _, row := range rows {
		r, ok := ParseContentRange(row.header)
		if ok != row.ok || ok && (r.Start != row.start || r.Total != row.total) {
			t.Errorf("%q: %+v, %v", row.header, r, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Add("5-10/*")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := ParseContentRange(s)
		if !ok && (r != ContentRange{Start: -1, End: -1, Total: -1}) || r.Start < -1 || r.End < r.Start || r.Total < -1 || ok && r.Total >= 0 && r.End >= r.Total {
			t.Errorf("%q: %+v, %v", s, r, ok)
		}
		if again, ok2 := ParseContentRange(r.String()); ok && (!ok2 || again != r) {
			t.Errorf("%q: %+v, and read again %+v", s, r, again)
		}
	})
}

// TestResumeStartsOverWhereTheServerCannotGoOn asks for the rest from byte 5 on.
func TestResumeStartsOverWhereTheServerCannotGoOn(t *testing.T) {
	t.Parallel()
	part := func(contentRange, body string) func(*http.Request) *http.Response {
		if contentRange == "" {
			return says(206, body)
		}
		return says(206, body, "Content-Range", contentRange)
	}
	for _, tt := range []struct {
		name     string
		rest     func(*http.Request) *http.Response
		status   int
		body     string
		requests int
	}{
		{"goes on", part("bytes 5-9/10", "56789"), 206, "56789", 1},
		{"without a range", part("", "56789"), 206, "56789", 1},
		{"of python", part("5-10/10", "56789"), 206, "56789", 1},
		{"elsewhere", part("bytes 4-9/10", "456789"), 200, "0123456789", 2},
		{"from the start", part("bytes 0-4/10", "01234"), 200, "0123456789", 2},
		{"unreadable", part("nonsense", "56789"), 200, "0123456789", 2},
		{"backwards", part("bytes 5-4/10", "56789"), 200, "0123456789", 2},
		{"nothing new", part("bytes 5-9/10", ""), 200, "0123456789", 2},
		{"several parts", says(206, "--x", "Content-Type", "multipart/byteranges; boundary=x"), 200, "0123456789", 2},
		{"no rest", says(416, ""), 200, "0123456789", 2},
		{"no rest of more", says(416, "", "Content-Range", "bytes */10"), 200, "0123456789", 2},
		{"the end", says(416, "end", "Content-Range", "bytes */5"), 416, "end", 1},
		{"all of it", says(200, "0123456789"), 200, "0123456789", 1},
		{"an error", says(503, "busy"), 503, "busy", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rt, n := answers(tt.rest, func(req *http.Request) *http.Response {
				if req.Header.Get("Range")+req.Header.Get("If-Range") != "" {
					t.Error("it asks for the rest again")
				}
				return says(200, "0123456789")(req)
			})
			req := request(t, "", "/v2/app/blobs/"+digest, "Range", "bytes=5-", "If-Range", "x")
			status, body, err := get(t, rt, req)
			if status != tt.status || body != tt.body || err != nil || *n != tt.requests {
				t.Errorf("%d %q %v, %d requests", status, body, err, *n)
			}
		})
	}
}

// TestOtherRangesAreLeftAlone are those of clients that want a part.
func TestOtherRangesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, span := range []string{"bytes=5-9", "bytes=-5", "bytes=0-", "bytes=1-2,4-", "lines=5-"} {
		rt, n := answers(says(206, "x", "Content-Range", "nonsense"))
		if status, _, err := get(t, rt, request(t, "", "/v2/app/blobs/"+digest, "Range", span)); status != 206 || err != nil || *n != 1 {
			t.Errorf("%s: %d %v, %d requests", span, status, err, *n)
		}
	}
}
