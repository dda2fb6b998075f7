package gateway

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

func TestVerifierPassesGoodContentOn(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "a", "ab", strings.Repeat("abc", 1000)} {
		for name, reader := range readers(content) {
			for _, size := range []int{1, 2, 3, 7, 4096} {
				v := newVerifier(reader(), "ref", digest.FromString(content))
				var got bytes.Buffer
				buf := make([]byte, size)
				_, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{v}, buf)
				if err != nil || got.String() != content {
					t.Fatalf("%s, %d bytes by %d: %d bytes, %v", name, len(content), size, got.Len(), err)
				}
			}
		}
	}
}

func TestVerifierKeepsBackTheEndOfWrongContent(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "a", "ab", strings.Repeat("abc", 1000)} {
		for name, reader := range readers(content) {
			for _, size := range []int{1, 2, 3, 7, 4096} {
				v := newVerifier(reader(), "ref", digest.FromString(content+"x"))
				got, err := io.ReadAll(iotest.OneByteReader(v))
				if size > 1 {
					v = newVerifier(reader(), "ref", digest.FromString(content+"x"))
					var b bytes.Buffer
					_, err = io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{v}, make([]byte, size))
					got = b.Bytes()
				}
				if !errors.As(err, new(*digestError)) || len(got) >= len(content) && content != "" {
					t.Fatalf("%s, %d bytes by %d: got %d, %v", name, len(content), size, len(got), err)
				}
				if n, again := v.Read(make([]byte, 1)); n != 0 || again == nil || again == io.EOF {
					t.Fatalf("after the error: %d, %v", n, again)
				}
			}
		}
	}
}

func readers(content string) map[string]func() io.Reader {
	return map[string]func() io.Reader{
		"plain":          func() io.Reader { return strings.NewReader(content) },
		"byte by byte":   func() io.Reader { return iotest.OneByteReader(strings.NewReader(content)) },
		"end with data":  func() io.Reader { return iotest.DataErrReader(strings.NewReader(content)) },
		"byte, with end": func() io.Reader { return iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(content))) },
	}
}
