package checkedstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stuck is a store that removes nothing, as one on a disk that is read-only.
type stuck struct{ content.Store }

var errReadOnly = errors.New("read-only file system")

func (stuck) Delete(context.Context, digest.Digest) error { return errReadOnly }

// TestWhatCannotBeCheckedIsNotGiven: neither a damaged blob that cannot be removed, nor
// one whose check was interrupted, and the next question checks it again.
func TestWhatCannotBeCheckedIsNotGiven(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("content"), 1000)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for how, ask := range map[string]func(ctx context.Context, s *Store) error{
		"Info":     func(ctx context.Context, s *Store) error { _, err := s.Info(ctx, desc.Digest); return err },
		"ReaderAt": func(ctx context.Context, s *Store) error { _, err := s.ReaderAt(ctx, desc); return err },
		"Writer": func(ctx context.Context, s *Store) error {
			_, err := s.Writer(ctx, content.WithRef("ref"), content.WithDescriptor(desc))
			return err
		},
		"Commit": func(ctx context.Context, s *Store) error {
			w, err := s.Writer(context.WithoutCancel(ctx), content.WithRef("ref"))
			if err != nil {
				return err
			}
			defer w.Close()
			if _, err := w.Write(body); err != nil {
				return err
			}
			return w.Commit(ctx, desc.Size, desc.Digest)
		},
	} {
		dir := t.TempDir()
		inner, err := local.NewStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())
		put := func(data []byte) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		put(body[1:])
		if err := ask(t.Context(), New(stuck{inner})); !errors.Is(err, errReadOnly) || !strings.Contains(err.Error(), desc.Digest.String()+" is damaged and cannot be removed: ") {
			t.Errorf("%s of a damaged blob: %v", how, err)
		}
		put(body)
		s := New(inner)
		if err := ask(gone, s); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), desc.Digest.String()) {
			t.Errorf("%s, interrupted: %v", how, err)
		}
		if _, err := s.Info(t.Context(), desc.Digest); err != nil {
			t.Errorf("%s: afterwards %v", how, err)
		}
	}
}

// TestNamesAreNotPaths: what is no digest is refused by the store.
func TestNamesAreNotPaths(t *testing.T) {
	t.Parallel()
	inner, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := New(inner)
	for _, d := range []digest.Digest{"../../etc/passwd", "sha256:../x", "x"} {
		if at, err := s.ReaderAt(t.Context(), ocispec.Descriptor{Digest: d}); err == nil {
			_ = at.Close()
			t.Errorf("%q was read", d)
		}
	}
}
