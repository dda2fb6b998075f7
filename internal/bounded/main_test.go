package bounded

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answers makes a Transport whose server gives one answer after the other, the
// last again and again, and counts the requests.
func answers(list ...func(*http.Request) *http.Response) (*Transport, *int) {
	n := new(int)
	return &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
		answer := list[min(*n, len(list)-1)]
		*n++
		return answer(req), nil
	})}, n
}

// says is an answer of status and body, with pairs of header names and values.
func says(status int, body string, header ...string) func(*http.Request) *http.Response {
	return func(req *http.Request) *http.Response {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Request: req, Body: io.NopCloser(strings.NewReader(body))}
	}
}

func request(t *testing.T, method, path string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://reg.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// get makes a request and reads the answer.
func get(t *testing.T, rt http.RoundTripper, req *http.Request) (int, string, error) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := readAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// readAll reads until an error, as long as there is something to read, and no
// more than anything may have here.
func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(&progress{r: io.LimitReader(r, 64<<20)}) }

// progress ends what brings nothing again and again.
type progress struct {
	r       io.Reader
	nothing int
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.nothing++; n > 0 {
		p.nothing = 0
	}
	if p.nothing > 100 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}
