package bounded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const digest = "sha256:" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// endless is a body without an end, and counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, letters)
	e.read += int64(n)
	return n, nil
}

var letters = bytes.Repeat([]byte("a"), 1<<20)

func (*endless) Close() error { return nil }

// TestAnswersAreBoundedByWhatTheyAreFor reads answers without an end.
func TestAnswersAreBoundedByWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, path string
		status             int
		mark               func(http.RoundTripper) http.RoundTripper
		limit              int64
		cut                bool
	}{
		{name: "manifest", path: "/v2/app/manifests/1", limit: 8 << 20},
		{name: "manifest by digest", path: "/v2/a/blobs/manifests/" + digest, limit: 8 << 20},
		{name: "referrers", path: "/v2/app/referrers/" + digest, limit: 8 << 20},
		{name: "tags", path: "/v2/app/tags/list", limit: 16 << 20},
		{name: "the base", path: "/v2/", limit: 16 << 20},
		{name: "v1 ping", path: "/v1/_ping", limit: 16 << 20},
		{name: "v1 ancestry", path: "/v1/images/x/ancestry", limit: 16 << 20},
		{name: "token", path: "/token", mark: Tokens, limit: 1 << 20},
		{name: "token at a path of blobs", path: "/v2/app/blobs/" + digest, mark: Tokens, limit: 1 << 20},
		{name: "upload", method: http.MethodPost, path: "/v2/app/blobs/uploads/", limit: 16 << 20},
		{name: "end of an upload", method: http.MethodPut, path: "/v2/app/blobs/" + digest, limit: 16 << 20},
		{name: "error", path: "/v2/app/manifests/1", status: 403, limit: 64 << 10, cut: true},
		{name: "error for a blob", path: "/v2/app/blobs/" + digest, status: 404, limit: 64 << 10, cut: true},
		{name: "error for a token", path: "/token", mark: Tokens, status: 500, limit: 64 << 10, cut: true},
		{name: "redirect", path: "/v2/app/blobs/" + digest, status: 307, limit: 64 << 10, cut: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := &endless{}
			var rt http.RoundTripper = &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: max(tt.status, 200), Header: http.Header{}, Request: req, Body: body}, nil
			})}
			if tt.mark != nil {
				rt = tt.mark(rt)
			}
			_, text, err := get(t, rt, request(t, tt.method, tt.path))
			if int64(len(text)) != tt.limit || body.read > tt.limit+1 {
				t.Errorf("%d bytes of %d that were read, of at most %d", len(text), body.read, tt.limit)
			}
			var large *TooLargeError
			ok := errors.As(err, &large)
			switch {
			case tt.cut && err != nil:
				t.Errorf("the text of an error is cut, not refused: %v", err)
			case !tt.cut && (!ok || large.Host != "reg.test" || large.Limit != tt.limit || !strings.Contains(err.Error(), "reg.test")):
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestAnAnswerOfTheLimitIsWhole reads one byte less than too much.
func TestAnAnswerOfTheLimitIsWhole(t *testing.T) {
	t.Parallel()
	rt, _ := answers(says(200, strings.Repeat("a", maxToken)))
	_, text, err := get(t, Tokens(rt), request(t, "", "/token"))
	if err != nil || len(text) != maxToken {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// TestContentIsBoundedByItsReader lets through what somebody else judges, also
// where a redirect leads to another path.
func TestContentIsBoundedByItsReader(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	redirected := request(t, "", "/storage/x?sig=1")
	redirected.Response = &http.Response{Request: request(t, "", "/v2/app/blobs/"+digest)}
	for name, req := range map[string]*http.Request{
		"blob":       request(t, "", "/v2/app/blobs/"+digest),
		"v1 layer":   request(t, "", "/v1/images/x/layer"),
		"redirected": redirected,
	} {
		rt, _ := answers(says(200, strings.Repeat("a", size)))
		if _, text, err := get(t, rt, req); err != nil || len(text) != size {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// TestUnpackedBytesCount sends a gzip bomb, with net/http's own unpacking.
func TestUnpackedBytesCount(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.CopyN(z, &endless{}, 64<<20)
		_ = z.Close()
	}))
	defer srv.Close()
	next := &http.Transport{}
	defer next.CloseIdleConnections()
	client := &http.Client{Transport: Tokens(&Transport{Next: next})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := readAll(resp.Body)
	var large *TooLargeError
	if !errors.As(err, &large) || len(text) != maxToken {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
