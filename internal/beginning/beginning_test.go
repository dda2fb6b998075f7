package beginning_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/certsd/containerd-certsd/internal/beginning"
)

func TestOf(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut")
	for name, tt := range map[string]struct {
		body    io.Reader
		begin   string
		rest    string
		err, at error
	}{
		"longer":      {strings.NewReader("abcdef"), "abc", "abcdef", nil, nil},
		"shorter":     {strings.NewReader("a"), "a", "a", nil, nil},
		"empty":       {strings.NewReader(""), "", "", nil, nil},
		"cut early":   {io.MultiReader(strings.NewReader("a"), iotest.ErrReader(cut)), "a", "a", cut, cut},
		"cut later":   {io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(cut)), "abc", "abcd", nil, cut},
		"bit by bit":  {iotest.OneByteReader(strings.NewReader("abcd")), "abc", "abcd", nil, nil},
		"cut at once": {iotest.ErrReader(cut), "", "", cut, cut},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{Body: io.NopCloser(tt.body)}
			begin, err := beginning.Of(resp, 3)
			if string(begin) != tt.begin || !errors.Is(err, tt.err) {
				t.Errorf("begins with %q, %v", begin, err)
			}
			all, err := io.ReadAll(resp.Body)
			if string(all) != tt.rest || !errors.Is(err, tt.at) {
				t.Errorf("whole: %q, %v", all, err)
			}
		})
	}
}
