// Package checkedstore wraps a content store to verify blobs before they are relied on:
// they may have been damaged, truncated or edited since they were written.
package checkedstore

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Store is a content store that verifies each blob once, on first use. A blob that does
// not match its digest is removed and reported as not found: the caller fetches it
// again.
type Store struct {
	content.Store

	// mu guards sound.
	mu sync.Mutex
	// sound holds a verdict for each blob in use, with its own lock.
	sound map[digest.Digest]*verdict
}

// verdict says whether one blob was verified.
type verdict struct {
	mu sync.Mutex // held while the blob is read
	ok bool
}

// New returns a Store that wraps another.
func New(inner content.Store) *Store {
	return &Store{Store: inner, sound: map[digest.Digest]*verdict{}}
}

func (s *Store) of(d digest.Digest) *verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.sound[d]
	if v == nil {
		v = &verdict{}
		s.sound[d] = v
	}
	return v
}

// check verifies a blob, once. A missing blob is no error.
func (s *Store) check(ctx context.Context, d digest.Digest) error {
	if d.Validate() != nil {
		return nil // the store reports it
	}
	v := s.of(d)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ok {
		return nil
	}
	at, err := s.Store.ReaderAt(ctx, ocispec.Descriptor{Digest: d})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer at.Close()
	verifier := d.Verifier()
	if _, err := io.Copy(verifier, &untilDone{ctx, content.NewReader(at)}); err != nil {
		return fmt.Errorf("verify %s: %w", d, err)
	}
	if verifier.Verified() {
		v.ok = true
		return nil
	}
	if err := s.Store.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("%s is damaged and cannot be removed: %w", d, err)
	}
	return nil
}

// untilDone is a reader that fails once a context ends.
type untilDone struct {
	//nolint:containedctx // an io.Reader is given none
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Info implements content.Store.
func (s *Store) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	if err := s.check(ctx, d); err != nil {
		return content.Info{}, err
	}
	return s.Store.Info(ctx, d)
}

// ReaderAt implements content.Store.
func (s *Store) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := s.check(ctx, desc.Digest); err != nil {
		return nil, err
	}
	return s.Store.ReaderAt(ctx, desc)
}

// Delete implements content.Store.
func (s *Store) Delete(ctx context.Context, d digest.Digest) error {
	v := s.of(d)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ok = false
	return s.Store.Delete(ctx, d)
}

// Writer implements content.Store. A damaged blob does not count as one that exists.
func (s *Store) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	if o.Desc.Digest != "" {
		if err := s.check(ctx, o.Desc.Digest); err != nil {
			return nil, err
		}
	}
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return &writer{Writer: w, store: s}, nil
}

type writer struct {
	content.Writer
	store *Store
}

var _ content.Syncer = (*writer)(nil)

// Commit implements content.Writer.
func (w *writer) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	d := expected
	if d == "" {
		d = w.Digest()
	}
	if err := w.store.check(ctx, d); err != nil {
		return err
	}
	return w.Writer.Commit(ctx, size, expected, opts...)
}

// Sync implements content.Syncer as far as the writer does.
func (w *writer) Sync() error {
	if s, ok := w.Writer.(content.Syncer); ok {
		return s.Sync()
	}
	return nil
}
