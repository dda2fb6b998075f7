// Package ocilayout writes images into OCI image layouts, directories that
// skopeo, crane, podman and others read:
//
//	DIR/
//	├── oci-layout     that this is one
//	├── index.json     the images, each with its tag
//	├── blobs/sha256/  manifests, configurations, layers
//	└── ingest/        parts of blobs, while a pull is under way or interrupted
//
// containerd's local content store has the same form except for the two files, so
// blobs are written once, in their final place, and the next pull continues what
// an interrupted one leaves.
//
// The index names an image only once it is complete: it is replaced as the
// last step, by renaming a file.
//
// Read ocilayout.go first, which opens a layout, then lock.go, which keeps two
// processes apart, and index.go, which names images. labels.go stores the labels that
// conversions leave.
package ocilayout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/bytesize"
	"github.com/certsd/containerd-certsd/internal/checkedstore"
	"github.com/certsd/containerd-certsd/internal/safepath"
	"github.com/certsd/containerd-certsd/internal/wholefile"
)

const (
	// ingestDir is where containerd's local store keeps parts of blobs.
	ingestDir = "ingest"
	// maxFile bounds the layout's own files in bytes. An index has some 300 bytes per
	// image.
	maxFile = 16 << 20
	// keepUnfinished is how long parts of other images' blobs are kept for a pull
	// that continues them.
	keepUnfinished = 24 * time.Hour
)

// Options configure how a layout is opened.
type Options struct {
	// OnWait, if set, is called once before waiting for another process that is
	// writing to the layout.
	OnWait func()
}

// Layout is an image layout that only this process writes to. It must be closed.
type Layout struct {
	dir   string
	lock  *os.File
	store content.Store
	// made reports whether Open created the directory; fresh, whether it created the
	// layout.
	made, fresh bool
}

// UnusableError reports that a directory cannot hold images.
type UnusableError struct {
	// Dir is the directory.
	Dir string
	// Err is the cause.
	Err error
}

// Error names the directory and the cause.
func (e *UnusableError) Error() string { return e.Dir + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnusableError) Unwrap() error { return e.Err }

// Open opens the layout in a directory, and creates one if the directory is empty or
// does not exist. It waits while another process has it open. The error is an
// [UnusableError] if the directory is something else.
func Open(ctx context.Context, dir string, o Options) (*Layout, error) {
	made, err := makeDir(dir)
	if err != nil {
		return nil, err
	}
	// What another user owns or can replace in it could redirect the blobs anywhere.
	if err := safepath.Tree(dir); err != nil {
		return nil, &UnusableError{Dir: dir, Err: err}
	}
	l := &Layout{dir: dir, made: made}
	if l.lock, err = l.acquire(ctx, o.OnWait); err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Layout) open() (err error) {
	if l.fresh, err = writeVersion(l.lock); err != nil {
		return l.unusable(err)
	}
	if _, err := l.index(); err != nil {
		return err
	}
	known, err := openLabels(filepath.Join(l.dir, labelsFile))
	if err != nil {
		return l.unusable(err)
	}
	inner, err := local.NewLabeledStore(l.dir, known)
	if err != nil {
		return fmt.Errorf("%s: %w", l.dir, err)
	}
	l.store = checkedstore.New(inner)
	return l.tidy()
}

// tidy removes ingests without data: their process was killed before there was any,
// or after the blob was moved into place. Such an ingest makes containerd's store
// fail to list any.
func (l *Layout) tidy() error {
	entries, err := os.ReadDir(filepath.Join(l.dir, ingestDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(l.dir, ingestDir, e.Name())
		if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func (l *Layout) unusable(err error) error { return &UnusableError{Dir: l.dir, Err: err} }

// Dir returns the layout's directory.
func (l *Layout) Dir() string { return l.dir }

// Store returns the store for the blobs of images, including those not in the index
// yet. It reports damaged blobs as missing.
func (l *Layout) Store() content.Store { return l.store }

// Unfinished reports whether the layout has anything that another pull can continue
// from: parts of blobs, or blobs in a layout without an index.
func (l *Layout) Unfinished(ctx context.Context) bool {
	if list, err := l.store.ListStatuses(ctx); err == nil && len(list) > 0 {
		return true
	}
	if _, err := os.Stat(filepath.Join(l.dir, ocispec.ImageIndexFile)); err == nil {
		return false
	}
	blobs, err := os.ReadDir(filepath.Join(l.dir, ocispec.ImageBlobsDir, "sha256"))
	return err == nil && len(blobs) > 0
}

// Close unlocks the layout. If no image was ever added and nothing has arrived, it
// removes a layout that Open created.
func (l *Layout) Close() error {
	if _, err := os.Stat(filepath.Join(l.dir, ocispec.ImageIndexFile)); l.fresh && errors.Is(err, fs.ErrNotExist) {
		l.clear()
	}
	return l.lock.Close()
}

// clear removes what is empty. os.Remove fails for directories that are not.
func (l *Layout) clear() {
	for _, name := range []string{ingestDir, filepath.Join(ocispec.ImageBlobsDir, "sha256"), ocispec.ImageBlobsDir} {
		_ = os.Remove(filepath.Join(l.dir, name))
	}
	left, err := os.ReadDir(l.dir)
	if err != nil || len(left) > 1 {
		return
	}
	_ = os.Remove(filepath.Join(l.dir, ocispec.ImageLayoutFile))
	if l.made {
		_ = os.Remove(l.dir)
	}
}

// sweep removes the ingest directory, unless it holds parts that a pull of another
// image may continue.
func (l *Layout) sweep(ctx context.Context) {
	list, err := l.store.ListStatuses(ctx)
	if err != nil {
		return
	}
	for _, s := range list {
		if time.Since(s.UpdatedAt) > keepUnfinished {
			_ = l.store.Abort(ctx, s.Ref)
		}
	}
	_ = os.Remove(filepath.Join(l.dir, ingestDir))
}

// makeDir creates the directory if it is missing.
func makeDir(dir string) (made bool, err error) {
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return true, safepath.MkdirAll(dir, 0o755)
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, &UnusableError{Dir: dir, Err: errors.New("is a file, and an OCI image layout is a directory: name another one")}
	default:
		return false, nil
	}
}

// readBounded reads one of the layout's own files.
func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("is larger than %s", bytesize.Limit(maxFile))
	}
	return data, err
}

// replaceFile replaces a file atomically: a reader finds the former content or the
// new one.
func replaceFile(path string, data []byte) error {
	return wholefile.WritePath(path, data, wholefile.Options{Mode: 0o644})
}
