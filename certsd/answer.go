package certsd

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/beginning"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxTamed is how much of an error's body is passed on, in bytes.
const maxTamed = 64 << 10

// tame makes a server's answer safe to print, because errors further up quote it. The
// reason phrase, which RFC 9112 lets clients ignore, becomes the standard one. An
// error's text loses the secrets of the request, which some servers repeat, and
// terminal control sequences.
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
			rd.trail.Answer(attempt, safetext.Answer(text, contentType, secrets...))
		}
	}}
	// The tamed body may be shorter.
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
}

// saidInChallenge matches the parameters of a challenge that hold prose: RFC 6750, 3.
var saidInChallenge = regexp.MustCompile(`(?i)(error(?:_description|_uri)?=")((?:[^"\\]|\\.)*)(")`)

func tameChallenge(challenge string, secrets []string) string {
	return saidInChallenge.ReplaceAllStringFunc(challenge, func(found string) string {
		parts := saidInChallenge.FindStringSubmatch(found)
		return parts[1] + safetext.Line(safetext.Hide(parts[2], secrets...), safetext.MaxAnswer) + parts[3]
	})
}

// tamed is the body of an error answer. It is read lazily: a request must not wait for
// a body that the caller may never read.
type tamed struct {
	io.ReadCloser
	secrets []string
	tell    func([]byte)
	// rest is the part not yet read, nil before the first Read.
	rest *bytes.Reader
	// err is the error that ended the body, io.EOF normally.
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

// safeBody returns the part of a body that may be passed on.
func safeBody(text []byte, secrets []string) []byte {
	if doc, ok := safetext.JSON(text, 0, secrets...); ok {
		return doc
	}
	return []byte(safetext.Text(safetext.Hide(string(text), secrets...)))
}

const (
	// maxAnswerBody is how much of an error's body is read: enough for a registry's
	// JSON, which is useful only if complete.
	maxAnswerBody = 8 << 10
	// maxPage is how much of the body of a 400 is read. nginx's page has less than 300
	// bytes; some servers put a style sheet in front.
	maxPage = 4 << 10
	// maxDrain is how much of a discarded body is read to keep the connection,
	// drainTime how long that may take.
	maxDrain  = 64 << 10
	drainTime = 2 * time.Second
)

// peek returns the beginning of a body without consuming it.
func peek(resp *http.Response) string {
	page, _ := beginning.Of(resp, maxPage)
	return string(page)
}

// discard reads and closes the body of an answer that the caller will not see, for its
// connection to be reused. It returns the text of the answer.
func discard(resp *http.Response, secrets ...string) string {
	body := resp.Body
	slow := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer slow.Stop()
	text, _ := io.ReadAll(io.LimitReader(body, maxAnswerBody))
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
	return safetext.Answer(text, resp.Header.Get("Content-Type"), secrets...)
}

// secrets returns the parts of the request that must not be shown if a server repeats
// them: credentials, cookies, the values of headers configured or given for the pull,
// and the query, which holds the signature of a signed URL.
func (rd *round) secrets() []string {
	_, credentials, _ := strings.Cut(rd.header.Get("Authorization"), " ")
	secrets := []string{rd.header.Get("Authorization"), strings.TrimSpace(credentials), rd.req.URL.RawQuery}
	if _, password, ok := (&http.Request{Header: rd.header}).BasicAuth(); ok {
		secrets = append(secrets, password)
	}
	for _, private := range []http.Header{rd.route.to.Header, rd.route.scoped} {
		for _, values := range private {
			secrets = append(secrets, values...)
		}
	}
	for _, cookie := range (&http.Request{Header: rd.header}).Cookies() {
		secrets = append(secrets, cookie.Value)
	}
	for pair := range strings.SplitSeq(rd.req.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plainFields[name] {
			continue
		}
		secrets = append(secrets, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			secrets = append(secrets, plain)
		}
	}
	return append(secrets, formSecrets(rd.req)...)
}

// plainFields are the fields of queries and forms that are not secret and that answers
// should still show: a token server names the scope it refuses, an upload its digest.
var plainFields = map[string]bool{
	"account": true, "artifactType": true, "client_id": true, "digest": true, "from": true, "grant_type": true, "last": true,
	"mount": true, "n": true, "ns": true, "offline_token": true, "scope": true, "service": true, "access_type": true,
}

// formSecrets returns the secrets in the body of a token request by POST: the user and
// password, or the refresh token.
func formSecrets(req *http.Request) []string {
	if req.Method != http.MethodPost || req.GetBody == nil || req.ContentLength <= 0 || req.ContentLength > maxForm ||
		!strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxForm))
	if err != nil {
		return nil
	}
	form, _ := url.ParseQuery(string(text)) // keeps what could be parsed
	var secrets []string
	for name, values := range form {
		if !plainFields[name] {
			secrets = append(secrets, values...)
		}
	}
	return secrets
}

// maxForm bounds the body of a request for a token, in bytes.
const maxForm = 64 << 10
