package certsd

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

const (
	// maxPage is how much of the body of a 400 is looked at. nginx's page has
	// less than 300 bytes; some servers put a style sheet in front.
	maxPage = 4 << 10
	// maxDrain is how much of a discarded body is read to keep the connection,
	// and drainTime how long that may take.
	maxDrain  = 64 << 10
	drainTime = 2 * time.Second
)

// peek returns the beginning of a body and leaves the body whole.
func peek(resp *http.Response) string {
	page, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(page), rest), resp.Body}
	return string(page)
}

// failing is a reader that ended with an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// discard reads what is left of an answer that nobody will see, so that its
// connection can be used again, and closes it. It returns what the answer says.
func discard(resp *http.Response, secrets ...string) string {
	body := resp.Body
	slow := time.AfterFunc(drainTime, func() { _ = body.Close() })
	defer slow.Stop()
	text, _ := io.ReadAll(io.LimitReader(body, maxAnswerBody))
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
	return answerText(text, resp.Header.Get("Content-Type"), secrets...)
}
