package ocilayout

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestDamagedBlobIsNotThere, of the right length as it is.
func TestDamagedBlobIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	body := []byte("content of a layer")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	for _, damaged := range []bool{false, true} {
		l, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Store().Info(t.Context(), desc.Digest)
		if !errdefs.IsNotFound(err) {
			t.Errorf("damaged is %t: %v", damaged, err)
		}
		if err := content.WriteBlob(t.Context(), l.Store(), "ref", bytes.NewReader(body), desc); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		file := filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())
		_ = os.Chmod(file, 0o600)
		if err := os.WriteFile(file, bytes.ToUpper(body), 0o600); err != nil {
			t.Error(err)
		}
	}
}
