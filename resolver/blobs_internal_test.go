package resolver

import (
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// absent is content that is not there, which the first Read says.
type absent struct{ io.ReadSeeker }

func (absent) Read([]byte) (int, error) { return 0, errdefs.ErrNotFound }
func (absent) Close() error             { return nil }

type there struct{ io.ReadSeeker }

func (there) Close() error { return nil }

// TestTurningKeepsTheOffset is about content of which a part is had already.
func TestTurningKeepsTheOffset(t *testing.T) {
	t.Parallel()
	turned := seekableTurning{&turning{
		ReadCloser: absent{strings.NewReader("")},
		other:      func() (io.ReadCloser, error) { return there{strings.NewReader("0123456789")}, nil },
	}}
	if _, err := turned.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(turned); err != nil || string(got) != "456789" {
		t.Errorf("%q, %v; want what is from byte 4 on", got, err)
	}
}
