// Package beginning reads the first bytes of an answer and puts them back.
package beginning

import (
	"bytes"
	"io"
	"net/http"
)

// Of returns up to most first bytes of a body, and puts them back: the body is then
// read from its start. If reading fails, it returns the error, and the body ends with
// it.
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

// failing is a reader that always fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
