package v1compat

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// blobWriter writes one blob of unknown digest, from the beginning.
type blobWriter struct {
	store    content.Store
	ref      string
	rewrites bool // the bytes written differ from those received
	w        content.Writer
	size     int64
	existed  bool // the committed blob was in the store before

	unsynced int64
	syncing  chan struct{} // closed at the end of a flush; nil before the first
}

// syncEvery is how many bytes are written before they are flushed to disk. A store
// flushes everything at the commit; earlier flushes happen while the layer loads.
// containerd's writers allow flushing and writing at the same time.
const syncEvery = 16 << 20

func (b *blobWriter) sync() {
	s, ok := b.w.(content.Syncer)
	if !ok || b.unsynced < syncEvery {
		return
	}
	if b.syncing != nil {
		select {
		case <-b.syncing:
		default:
			return // one at a time
		}
	}
	b.unsynced = 0
	done := make(chan struct{})
	b.syncing = done
	go func() {
		defer close(done)
		_ = s.Sync() // the commit's flush reports errors
	}()
}

// settle waits for a flush.
func (b *blobWriter) settle() {
	if b.syncing != nil {
		<-b.syncing
	}
}

func (b *blobWriter) open(ctx context.Context) error {
	w, err := content.OpenWriter(ctx, b.store, content.WithRef(b.ref))
	if err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	if err := w.Truncate(0); err != nil {
		_ = w.Close()
		return fmt.Errorf("content store: %w", err)
	}
	b.w = w
	return nil
}

// Write implements io.Writer.
func (b *blobWriter) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	b.size += int64(n)
	b.unsynced += int64(n)
	b.sync()
	return n, err
}

func (b *blobWriter) commit(ctx context.Context, expected digest.Digest, labels map[string]string) (digest.Digest, error) {
	b.settle()
	err := b.w.Commit(ctx, b.size, expected, content.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		_ = b.store.Abort(context.WithoutCancel(ctx), b.ref)
		return "", fmt.Errorf("content store: %w", err)
	}
	b.existed = err != nil
	dgst := b.w.Digest()
	if err := dgst.Validate(); err != nil {
		return "", fmt.Errorf("content store: digest of the blob: %w", err)
	}
	return dgst, nil
}

// leave stops writing because of err. What was written stays for a later conversion
// if it is a sound beginning of the layer that can be continued.
func (b *blobWriter) leave(ctx context.Context, err error, sound bool) {
	sunk := errors.As(err, new(*sinkError))
	again := errors.As(err, new(*restartError))
	if !sound || b.w == nil || b.rewrites || sunk || again {
		b.abandon(ctx)
		return
	}
	b.close()
}

// close closes the writer and keeps what was written in the store.
func (b *blobWriter) close() {
	if b.w != nil {
		b.settle()
		_ = b.w.Close()
	}
}

func (b *blobWriter) abandon(ctx context.Context) {
	if b.w != nil {
		b.settle()
		drop(ctx, b.store, b.w, b.ref)
		b.w = nil
	}
}
