package v1compat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// errTooLarge is the error of readAll beyond its limit.
var errTooLarge = errors.New("answer too large")

// readAll reads r to its end, and fails rather than truncate beyond limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return body, nil
}

// discard closes the body after reading a little of it, which lets the connection be
// reused.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
}

func itoa(n int) string { return strconv.Itoa(n) }

// budget is a number of bytes shared by several answers.
type budget struct{ left atomic.Int64 }

func newBudget(n int64) *budget {
	b := new(budget)
	b.left.Store(n)
	return b
}

func (b *budget) take(n int) error {
	if b.left.Add(-int64(n)) < 0 {
		return fmt.Errorf("%w: the image's JSONs together", errTooLarge)
	}
	return nil
}
