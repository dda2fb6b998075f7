package certsd

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxTamed is how much of the body of an error is passed on.
const maxTamed = 64 << 10

// tame makes what a server says in an answer safe to print: all errors above are
// made of it. The reason phrase, which RFC 9112 lets clients ignore, becomes the
// usual one. Where the answer is an error, its words lose the secrets of the
// request, which some servers repeat, and what a terminal would obey.
func (rd *round) tame(resp *http.Response, attempt int) {
	resp.Status = strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode))
	if resp.StatusCode < http.StatusBadRequest {
		return
	}
	secrets := rd.secrets()
	for i, challenge := range resp.Header["Www-Authenticate"] {
		resp.Header["Www-Authenticate"][i] = tameChallenge(challenge, secrets)
	}
	if rd.req.Method == http.MethodHead || resp.Body == nil {
		return
	}
	contentType := resp.Header.Get("Content-Type")
	resp.Body = &tamed{ReadCloser: resp.Body, secrets: secrets, tell: func(text []byte) {
		if rd.trail != nil {
			rd.trail.answer(attempt, answerText(text, contentType, secrets...))
		}
	}}
	// It may be shorter now.
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
}

// saidInChallenge are the parameters of a challenge that are words: RFC 6750, 3.
var saidInChallenge = regexp.MustCompile(`(?i)(error(?:_description|_uri)?=")((?:[^"\\]|\\.)*)(")`)

func tameChallenge(challenge string, secrets []string) string {
	return saidInChallenge.ReplaceAllStringFunc(challenge, func(found string) string {
		parts := saidInChallenge.FindStringSubmatch(found)
		return parts[1] + safetext.Line(safetext.Hide(parts[2], secrets...), maxAnswer) + parts[3]
	})
}

// tamed is the body of an error. It is read as soon as somebody wants it, and
// not before: a request must not wait for a body that nobody may want.
type tamed struct {
	io.ReadCloser
	secrets []string
	tell    func([]byte)
	// rest is what is still to be read, nil before the first Read.
	rest *bytes.Reader
	// err is how the body ended, io.EOF if it did so well.
	err error
}

// Read implements io.Reader.
func (t *tamed) Read(p []byte) (int, error) {
	if t.rest == nil {
		text, err := io.ReadAll(io.LimitReader(t.ReadCloser, maxTamed))
		if t.err = err; err == nil {
			t.err = io.EOF
		}
		if len(text) > 0 {
			t.tell(text)
		}
		t.rest = bytes.NewReader(safeBody(text, t.secrets))
	}
	n, err := t.rest.Read(p)
	if err == io.EOF {
		err = t.err
	}
	return n, err
}

// Close implements io.Closer.
func (t *tamed) Close() error {
	if t.rest == nil {
		t.rest, t.err = bytes.NewReader(nil), http.ErrBodyReadAfterClose
	}
	return t.ReadCloser.Close()
}

// safeBody is what is passed on of a body.
func safeBody(text []byte, secrets []string) []byte {
	if doc, ok := safetext.JSON(text, 0, secrets...); ok {
		return doc
	}
	return []byte(safetext.Text(safetext.Hide(string(text), secrets...)))
}
