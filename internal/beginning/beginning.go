// Package beginning reads the first bytes of an answer and puts them back.
package beginning

import (
	"bytes"
	"io"
	"net/http"
)

// Of returns the first bytes of a body, at most that many, and puts them back: the
// body is read from its start afterwards. What kept it from reading is the error
// that the body ends with then, and is returned, too.
func Of(resp *http.Response, most int64) ([]byte, error) {
	begin, err := io.ReadAll(io.LimitReader(resp.Body, most))
	rest := io.Reader(resp.Body)
	if err != nil {
		rest = failing{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), rest), resp.Body}
	return begin, err
}

// failing is a reader that ended with an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
