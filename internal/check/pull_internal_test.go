package check

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/choice"
)

// TestLayersAreBegun: of a large layer one byte is read, a small one is read
// whole and held to its digest.
func TestLayersAreBegun(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, maxWhole, maxWhole + 1, 1 << 20} {
		data := bytes.Repeat([]byte("x"), size)
		for _, right := range []bool{true, false} {
			desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(size)}
			if !right {
				desc.Digest = digest.FromString("another")
			}
			rest := bytes.NewReader(data)
			fetch := remotes.FetcherFunc(func(context.Context, ocispec.Descriptor) (io.ReadCloser, error) { return io.NopCloser(rest), nil })
			err := beginBlob(t.Context(), fetch, desc)
			if size > maxWhole {
				if read := size - rest.Len(); err != nil || read != 1 {
					t.Errorf("%d bytes: %d were read: %v", size, read, err)
				}
			} else if right != (err == nil) || !right && !errors.As(err, new(*choice.DigestError)) {
				t.Errorf("%d bytes, right %t: %v", size, right, err)
			}
		}
	}
}
