package v1compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/google/go-cmp/cmp"
)

const digits = "0123456789"

// opened is an image of one layer of digits at a server with these quirks.
func opened(t *testing.T, q v1test.Quirks, data string) (*v1test.Server, *Client, Entry) {
	t.Helper()
	srv, c := registry(t, q)
	srv.Add("a/b", "latest", v1test.Layer{Data: []byte(data)})
	img, err := c.Image(t.Context(), "a/b", "latest")
	if err != nil {
		t.Fatal(err)
	}
	return srv, c, img.Entries[0]
}

func read(t *testing.T, e Entry, offset int64) (*LayerStream, string, error) {
	t.Helper()
	stream, err := e.Open(t.Context(), offset)
	if err != nil {
		return nil, "", err
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	return stream, string(data), err
}

func TestResume(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		quirks v1test.Quirks
		// first reports that the layer has been asked for before, whole, so that
		// its size is known.
		first  bool
		offset int64
		start  int64
	}{
		{name: "from the beginning", offset: 0, start: 0},
		{name: "by the book", offset: 4, start: 4},
		{name: "at the last byte", offset: 9, start: 9},
		{name: "at the end", offset: 10, start: 10},
		{name: "ranges ignored", quirks: v1test.Quirks{Ranges: v1test.RangesIgnored}, offset: 4, start: 0},
		{name: "python 0.6.6, size unknown", quirks: v1test.Quirks{Ranges: v1test.RangesNoTotal, Size: v1test.SizeAbsent}, offset: 4, start: 0},
		{name: "python 0.6.6, size known", quirks: v1test.Quirks{Ranges: v1test.RangesNoTotal}, first: true, offset: 4, start: 4},
		{name: "python 0.7: no unit, a length one too large", quirks: v1test.Quirks{Ranges: v1test.RangesNoUnit}, offset: 4, start: 4},
		{name: "python 0.7: the last byte alone", quirks: v1test.Quirks{Ranges: v1test.RangesNoUnit}, offset: 9, start: 0},
		{name: "python 0.7: at the end, size announced", quirks: v1test.Quirks{Ranges: v1test.RangesNoUnit}, offset: 10, start: 10},
		{name: "python 0.7: at the end, size known", quirks: v1test.Quirks{Ranges: v1test.RangesNoUnit, Size: v1test.SizeAbsent}, first: true, offset: 10, start: 10},
		{name: "python 0.7: at the end, size unknown", quirks: v1test.Quirks{Ranges: v1test.RangesNoUnit, Size: v1test.SizeAbsent}, offset: 10, start: 0},
		{name: "416 to every range", quirks: v1test.Quirks{Ranges: v1test.RangesRefused}, first: true, offset: 4, start: 0},
		{name: "416 and a size announced wrongly", quirks: v1test.Quirks{Ranges: v1test.RangesRefused, Size: v1test.SizeWrong}, offset: 4, start: 0},
		{name: "a part that begins elsewhere", quirks: v1test.Quirks{Ranges: v1test.RangesShifted}, offset: 4, start: 0},
		{name: "a part without Content-Range", quirks: v1test.Quirks{Ranges: v1test.RangesHeadless}, offset: 4, start: 4},
		{name: "a wrong size announced", quirks: v1test.Quirks{Size: v1test.SizeWrong}, offset: 4, start: 4},
		{name: "size zero announced", quirks: v1test.Quirks{Size: v1test.SizeZero}, offset: 4, start: 4},
		{name: "beyond the end", offset: 11, start: 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, _, e := opened(t, row.quirks, digits)
			if row.first {
				layerBytes(t, e)
			}
			stream, got, err := read(t, e, row.offset)
			if err != nil {
				t.Fatal(err)
			}
			if stream.Start != row.start {
				t.Errorf("starts at %d, want %d", stream.Start, row.start)
			}
			if diff := cmp.Diff(digits[row.start:], got); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if stream.Total != 10 {
				t.Errorf("total %d", stream.Total)
			}
		})
	}
}

func TestEmptyLayer(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		quirks v1test.Quirks
		fails  bool
	}{
		{name: "200 and nothing"},
		{name: "python: 416, size zero", quirks: v1test.Quirks{Empty416: true}},
		{name: "size zero on the 416 itself", quirks: v1test.Quirks{Empty416: true, Size: v1test.SizeAbsent, CommonHeader: map[string]string{"X-Docker-Size": "0"}}},
		{name: "416 without a size is an error", quirks: v1test.Quirks{Empty416: true, Size: v1test.SizeAbsent}, fails: true},
		{name: "416 for a layer that should have bytes", quirks: v1test.Quirks{Empty416: true, Size: v1test.SizeWrong}, fails: true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, _, e := opened(t, row.quirks, "")
			stream, got, err := read(t, e, 0)
			if (err != nil) != row.fails {
				t.Fatalf("error %v", err)
			}
			if err == nil && (got != "" || stream.Start != 0 || stream.Total != 0) {
				t.Errorf("%q from %d of %d", got, stream.Start, stream.Total)
			}
		})
	}
}

func TestSizeZeroOnTheRefusalAlone(t *testing.T) {
	t.Parallel()
	for size, fails := range map[string]bool{"0": false, "1": true} {
		srv, _, e := opened(t, v1test.Quirks{Size: v1test.SizeAbsent}, "")
		srv.Fail(v1test.Failure{Path: path("/layer$"), Status: 416, Header: http.Header{"X-Docker-Size": {size}}})
		if _, got, err := read(t, e, 0); got != "" || (err != nil) != fails {
			t.Errorf("size %s: %q, %v", size, got, err)
		}
	}
}

// What a server may answer to "bytes=4-" when the layer, of which ten bytes
// were seen before, is not what it was, or was never right.
func TestStrangeParts(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		status int
		header http.Header
		body   string
		start  int64
	}{
		{name: "right", status: 206, header: http.Header{"Content-Range": {"bytes 4-9/10"}}, body: digits[4:], start: 4},
		{name: "more than the layer has", status: 206, header: http.Header{"Content-Range": {"bytes 4-9/10"}}, body: digits[4:] + "more", start: 4},
		{name: "of a longer layer", status: 206, header: http.Header{"Content-Range": {"bytes 4-10/11"}}, body: digits[4:] + "x"},
		{name: "several parts", status: 206, header: http.Header{"Content-Type": {"Multipart/byteranges; boundary=x"}}, body: "--x--"},
		{name: "nothing left of a shorter layer", status: 416, header: http.Header{"Content-Range": {"bytes */4"}}},
	}
	for _, row := range rows {
		srv, _, e := opened(t, v1test.Quirks{}, digits)
		layerBytes(t, e)
		srv.Fail(v1test.Failure{Path: path("/layer$"), Status: row.status, Header: row.header, Body: row.body})
		stream, got, err := read(t, e, 4)
		if err != nil || stream.Start != row.start || got != digits[row.start:] {
			t.Errorf("%s: %q, %v", row.name, got, err)
		}
	}
}

func TestValidator(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]http.Header{
		"":       {},
		`"e"`:    {"Etag": {`"e"`}, "Last-Modified": {"yesterday"}},
		"monday": {"Last-Modified": {"monday"}},
	} {
		if got := validator(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := validator(http.Header{"Etag": {strings.Repeat("e", 257)}}); got != "" {
		t.Errorf("a validator of %d bytes", len(got))
	}
}

// The announced size is no proof of anything.
func TestSizeZeroIsNoEmptyLayer(t *testing.T) {
	t.Parallel()
	_, _, e := opened(t, v1test.Quirks{Size: v1test.SizeZero}, digits)
	if _, got, err := read(t, e, 0); got != digits || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLayerIsAsStored(t *testing.T) {
	t.Parallel()
	zipped := v1test.Gzip([]byte(digits))
	for _, encoding := range []string{"gzip", "x-gzip"} {
		srv, c := registry(t, v1test.Quirks{LayerEncoding: encoding})
		srv.Add("a/b", "latest", v1test.Layer{Data: zipped})
		img, err := c.Image(t.Context(), "a/b", "latest")
		if err != nil {
			t.Fatal(err)
		}
		if got := layerBytes(t, img.Entries[0]); !bytes.Equal(got, zipped) {
			t.Errorf("%s: the layer was decompressed on the way", encoding)
		}
		for _, r := range srv.Requests() {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("%s: Accept-Encoding %q", r.URI, got)
			}
		}
	}
}

func TestCutLayer(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		srv, _, e := opened(t, v1test.Quirks{Chunked: chunked}, digits)
		srv.Fail(v1test.Failure{Path: path("/layer$"), CutAfter: 4})
		_, got, err := read(t, e, 0)
		if got != digits[:4] || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("chunked %v: %q, %v", chunked, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "Registry v1 at http://"+srv.Host+"/v1/: GET images/"+e.ID+"/layer: broken off after 4 bytes") {
			t.Errorf("chunked %v: error %v", chunked, err)
		}
		stream, got, err := read(t, e, 4)
		if err != nil || got != digits[stream.Start:] || stream.Start != 4 {
			t.Errorf("chunked %v: resumed at %d: %q, %v", chunked, stream.Start, got, err)
		}
	}
}

// A proxy that ends the body early without complaint is noticed by the size.
func TestShortLayer(t *testing.T) {
	t.Parallel()
	body := &counted{ReadCloser: io.NopCloser(strings.NewReader("012")), total: 10, failed: func(err error) error { return err }}
	if got, err := io.ReadAll(body); string(got) != "012" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestResumeStartsOverWhenTheLayerChanged(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"ETag", "Last-Modified"} {
		srv, c := registry(t, v1test.Quirks{})
		built := srv.Add("a/b", "latest", v1test.Layer{Data: []byte(digits)})
		version := 0
		srv.Fail(v1test.Failure{Path: path("/layer$"), Times: -1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			version++
			w.Header().Set(header, fmt.Sprint("v", version))
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 4-9/10")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = io.WriteString(w, "efghij")
				return
			}
			_, _ = w.Write(built[0].Data)
		})})
		img, err := c.Image(t.Context(), "a/b", "latest")
		if err != nil {
			t.Fatal(err)
		}
		e := img.Entries[0]
		layerBytes(t, e)
		stream, got, err := read(t, e, 4)
		if err != nil || stream.Start != 0 || got != digits || stream.Validator != "v3" {
			t.Errorf("%s: from %d (%q): %q, %v", header, stream.Start, stream.Validator, got, err)
		}
	}
}

func TestRefusedLayerIsTriedAgain(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		status int
		times  int
		want   int // requests
		fails  bool
	}{
		{name: "5xx twice", status: 502, times: 2, want: 3},
		{name: "5xx for ever", status: 503, times: -1, want: 3, fails: true},
		{name: "404", status: 404, times: 1, want: 1, fails: true},
		{name: "403", status: 403, times: 1, want: 1, fails: true},
		{name: "206 that was not asked for", status: 206, times: 1, want: 1, fails: true},
		{name: "204", status: 204, times: 1, want: 1, fails: true},
	}
	for _, row := range rows {
		for _, offset := range []int64{0, 4} {
			if offset > 0 && row.status/100 == 2 {
				continue
			}
			srv, _, e := opened(t, v1test.Quirks{}, digits)
			before := len(srv.Requests())
			srv.Fail(v1test.Failure{Path: path("/layer$"), Status: row.status, Times: row.times})
			_, got, err := read(t, e, offset)
			if (err != nil) != row.fails || err == nil && got != digits[offset:] {
				t.Errorf("%s, offset %d: %q, %v", row.name, offset, got, err)
			}
			if n := len(srv.Requests()) - before; n != row.want {
				t.Errorf("%s, offset %d: %d requests, want %d", row.name, offset, n, row.want)
			}
		}
	}
}

func TestWaitsAreBounded(t *testing.T) {
	t.Parallel()
	srv, c, e := opened(t, v1test.Quirks{}, digits)
	var waited time.Duration
	c.sleep = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	srv.Fail(v1test.Failure{Path: path("/layer$"), Status: 503, Times: -1})
	for range 100 {
		if _, err := e.Open(t.Context(), 4); err == nil {
			t.Fatal("opened")
		}
	}
	if waited == 0 || waited > maxWait {
		t.Errorf("waited %s between attempts", waited)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	srv, c, e := opened(t, v1test.Quirks{}, digits)
	srv.Fail(v1test.Failure{Path: path("/layer$"), Status: 503, Times: -1})
	ctx, cancel := context.WithCancel(t.Context())
	c.sleep = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	if _, err := e.Open(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestLayerFromAnotherEndpoint(t *testing.T) {
	t.Parallel()
	first, second := v1test.New(v1test.Options{}), v1test.New(v1test.Options{})
	t.Cleanup(first.Close)
	t.Cleanup(second.Close)
	images := first.Add("a/b", "latest", v1test.Layer{Data: []byte(digits)})
	second.Take(&v1test.Image{ID: images[0].ID, Data: []byte("abcdefghij")})
	srv, c := registry(t, v1test.Quirks{Endpoints: []string{first.Host, second.Host}})
	srv.Add("a/b", "other", v1test.Layer{})
	img, err := c.Image(t.Context(), "a/b", "latest")
	if err != nil {
		t.Fatal(err)
	}
	e := img.Entries[0]
	first.Fail(v1test.Failure{Path: path("/layer$"), CutAfter: 4})
	if _, got, err := read(t, e, 0); got != digits[:4] || err == nil {
		t.Fatalf("%q, %v", got, err)
	}
	// A stumble is no reason to start over elsewhere.
	first.Fail(v1test.Failure{Path: path("/layer$"), Status: 503})
	if stream, got, err := read(t, e, 4); err != nil || stream.Start != 4 || got != digits[4:] {
		t.Errorf("%q, %v", got, err)
	}
	first.Fail(v1test.Failure{Path: path("/layer$"), Status: 503, Times: -1})
	stream, got, err := read(t, e, 4)
	if err != nil || stream.Start != 0 || got != "abcdefghij" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSlowServer(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"_ping", "/images", "/ancestry"} {
		srv, c := registry(t, v1test.Quirks{})
		srv.Add("a/b", "latest", v1test.Layer{})
		c.HTTP.Timeout = 20 * time.Millisecond
		srv.Fail(v1test.Failure{Path: path(what + "$"), Wait: make(chan struct{}), Times: -1})
		if _, err := c.Image(t.Context(), "a/b", "latest"); !errors.Is(err, errSlow) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSlowLayer(t *testing.T) {
	t.Parallel()
	srv, c, e := opened(t, v1test.Quirks{}, digits)
	c.HTTP.Timeout = 20 * time.Millisecond
	srv.Fail(v1test.Failure{Path: path("/layer$"), Wait: make(chan struct{}), Times: -1})
	if _, err := e.Open(t.Context(), 0); !errors.Is(err, errSlow) {
		t.Errorf("no header: %v", err)
	}
}

// roundTripper is a transport without a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestStalledLayer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Host: "reg.example", HTTP: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			r, w := io.Pipe()
			go func() {
				_, _ = io.WriteString(w, "0123")
				<-req.Context().Done()
				_ = w.CloseWithError(req.Context().Err())
			}()
			return &http.Response{StatusCode: http.StatusOK, ContentLength: 10, Header: http.Header{}, Body: r}, nil
		})}}
		base, err := c.base()
		if err != nil {
			t.Fatal(err)
		}
		l := &layer{s: &session{c: c, registry: base, jar: newJar(base.origin), endpoints: []endpoint{base}}, id: idA, size: -1}
		start := time.Now()
		_, got, err := read(t, Entry{Open: l.open}, 0)
		if got != "0123" || !errors.Is(err, errSlow) {
			t.Errorf("%q, %v", got, err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("given up after %s", d)
		}
	})
}

func TestNegativeOffset(t *testing.T) {
	t.Parallel()
	_, _, e := opened(t, v1test.Quirks{}, digits)
	if _, err := e.Open(t.Context(), -1); err == nil {
		t.Error("opened")
	}
}
