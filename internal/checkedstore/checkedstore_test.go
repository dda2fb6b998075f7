package checkedstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestDamagedBlobIsNotThere, whichever way it is asked for, and can be written
// again.
func TestDamagedBlobIsNotThere(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("content"), 1000)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	for name, damage := range map[string]func([]byte) []byte{
		"sound":   func(b []byte) []byte { return b },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(b, 'x') },
		"empty":   func([]byte) []byte { return nil },
	} {
		for how, ask := range map[string]func(s *Store) error{
			"Info": func(s *Store) error { _, err := s.Info(t.Context(), desc.Digest); return err },
			"ReaderAt": func(s *Store) error {
				at, err := s.ReaderAt(t.Context(), desc)
				if err == nil {
					err = at.Close()
				}
				return err
			},
			"Writer": func(s *Store) error {
				w, err := s.Writer(t.Context(), content.WithRef("ref"), content.WithDescriptor(desc))
				if errdefs.IsAlreadyExists(err) {
					return nil
				}
				if err != nil {
					return err
				}
				_ = w.Close()
				return errdefs.ErrNotFound
			},
			"Commit": func(s *Store) error {
				w, err := s.Writer(t.Context(), content.WithRef("ref"))
				if err == nil {
					_, err = w.Write(body)
				}
				if err == nil {
					err = w.Commit(t.Context(), 0, "")
				}
				if errdefs.IsAlreadyExists(err) {
					return nil
				}
				if err != nil {
					return err
				}
				return errdefs.ErrNotFound
			},
		} {
			dir := t.TempDir()
			inner, err := local.NewStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(bytes.Clone(body)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := New(inner)
			if err := ask(s); (err == nil) != (name == "sound") || err != nil && !errdefs.IsNotFound(err) {
				t.Errorf("%s by %s: %v", name, how, err)
			}
			_ = inner.Abort(t.Context(), "ref")
			if err := content.WriteBlob(t.Context(), s, "again", bytes.NewReader(body), desc); err != nil {
				t.Errorf("%s by %s: written again: %v", name, how, err)
			}
			got, err := content.ReadBlob(t.Context(), s, desc)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s by %s: %d bytes, %v", name, how, len(got), err)
			}
		}
	}
}
