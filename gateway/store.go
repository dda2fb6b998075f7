package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/bloblabels"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// imageStore keeps converted images on disk. It contains only complete, verified blobs;
// a partial layer is kept separately, and the next process continues it.
//
// It is a content store; holds tracks who relies on a blob, and room decides what to
// remove.
type imageStore struct {
	content.Store
	labels *bloblabels.Store
	dir    string
	lock   *os.File
	holds  holds
	room   *room
}

// openStore opens the store in dir, which one process at a time may use. Everything in
// it must belong to the user. limit is in bytes; zero means none.
func openStore(dir string, limit int64) (*imageStore, error) {
	if err := safepath.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := safepath.Tree(dir); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &imageStore{
		labels: newLabels(filepath.Join(dir, "labels")),
		dir:    dir, lock: lock, holds: newHolds(),
	}
	s.room = &room{store: s, limit: limit}
	if s.Store, err = local.NewLabeledStore(filepath.Join(dir, "content"), s.labels); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// Close lets another process open the store.
func (s *imageStore) Close() error { return s.lock.Close() }

// lockFile locks a file for as long as it is open. The system releases the lock however
// the process ends.
//
// github.com/gofrs/flock would save five lines here, but does not fit the other locks:
// an image layout locks an already open file, and does without on file systems that
// have no locks, where the library opens a path and fails; and running_linux.go and
// imageservice/alive_linux.go test a lock without taking it, for which it has no call.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the state directory
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: another gateway uses this directory: %w", path, err), f.Close())
	}
	return f, nil
}

// find returns the blob with a digest, if it came from the wanted source.
func (s *imageStore) find(ctx context.Context, d digest.Digest, left func(content.Info) bool) (content.Info, bool) {
	info, err := s.Store.Info(ctx, d)
	if err != nil || !left(info) {
		return content.Info{}, false
	}
	s.touch(ctx, info)
	return info, true
}

// labelUsed is when an image was last requested, in Unix seconds. It is written at most
// once per usedStep.
const (
	labelUsed = "certsd/used"
	usedStep  = 10 * time.Minute
)

// touch records that a blob is requested.
func (s *imageStore) touch(ctx context.Context, info content.Info) {
	now := time.Now()
	before := s.holds.asked(info.Digest, now)
	if !isManifest(info) || now.Sub(before) < usedStep {
		return
	}
	// Without it the image only counts as older than it is.
	_, _ = s.Update(ctx, content.Info{Digest: info.Digest, Labels: map[string]string{labelUsed: unixText(now)}}, "labels."+labelUsed)
}

// isManifest recognizes the manifests of conversions by their references.
func isManifest(info content.Info) bool { return info.Labels[labelConfig] != "" }

const (
	labelRefs   = "containerd.io/gc.ref.content."
	labelConfig = labelRefs + "config"
)

// Info implements content.Store.
func (s *imageStore) Info(ctx context.Context, d digest.Digest) (content.Info, error) {
	s.holds.pin(ctx, d)
	info, err := s.Store.Info(ctx, d)
	return info, ofStore(err)
}

// ReaderAt implements content.Store.
func (s *imageStore) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	s.holds.pin(ctx, desc.Digest)
	at, err := s.Store.ReaderAt(ctx, desc)
	return at, ofStore(err)
}

// storeError is an error of the store, not of a registry.
type storeError struct{ error }

// Unwrap returns the cause, which conversions examine.
func (e *storeError) Unwrap() error { return e.error }

// status distinguishes content that differs from its announcement from a store that
// cannot take it.
func (e *storeError) status() int {
	switch {
	case errdefs.IsFailedPrecondition(e):
		return http.StatusBadGateway
	case isFull(e):
		return http.StatusInsufficientStorage
	default:
		return http.StatusInternalServerError
	}
}

// isFull reports whether space ran out.
func isFull(err error) bool {
	return errors.Is(err, errNoRoom) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// ofStore marks an error as the store's.
func ofStore(err error) error {
	if err == nil {
		return nil
	}
	return &storeError{err}
}

// Writer implements content.Store.
func (s *imageStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	flightIn(ctx).begin()
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, ofStore(err)
	}
	ref := ""
	if status, err := w.Status(); err == nil {
		ref = status.Ref
	}
	return &storeWriter{Writer: w, store: s, flight: flightIn(ctx), ctx: ctx, closed: s.holds.writes(ref)}, nil
}

// storeWriter pins what it commits, bounds what it writes, and reports progress.
type storeWriter struct {
	content.Writer
	store  *imageStore
	flight *flight
	//nolint:containedctx // an io.Writer is given none
	ctx    context.Context
	closed func()
}

// Close implements content.Writer.
func (w *storeWriter) Close() error {
	defer w.closed()
	return w.Writer.Close()
}

var _ content.Syncer = (*storeWriter)(nil)

// Write implements io.Writer.
func (w *storeWriter) Write(p []byte) (int, error) {
	if err := w.store.room.reserve(w.ctx, int64(len(p))); err != nil {
		return 0, ofStore(err)
	}
	n, err := w.Writer.Write(p)
	if isFull(err) && w.store.room.dropLeftovers(w.ctx) > 0 {
		var m int
		m, err = w.Writer.Write(p[n:])
		n += m
	}
	w.flight.received(n)
	return n, ofStore(err)
}

// Commit implements content.Writer.
func (w *storeWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	d := expected
	if d == "" {
		d = w.Digest()
	}
	w.store.holds.pin(ctx, d)
	defer w.closed()
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if err == nil {
		w.flight.stored()
	}
	return ofStore(err)
}

// Sync implements content.Syncer if the underlying writer does.
func (w *storeWriter) Sync() error {
	if s, ok := w.Writer.(content.Syncer); ok {
		return s.Sync()
	}
	return nil
}

// Delete implements content.Store.
func (s *imageStore) Delete(ctx context.Context, d digest.Digest) error {
	err := s.Store.Delete(ctx, d)
	if err == nil || errdefs.IsNotFound(err) {
		err = errors.Join(err, s.labels.Remove(d))
	}
	return err
}
