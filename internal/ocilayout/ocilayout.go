// Package ocilayout writes images into OCI image layouts, directories that
// skopeo, crane, podman and others read:
//
//	DIR/
//	├── oci-layout     that this is one
//	├── index.json     the images, each with its tag
//	├── blobs/sha256/  manifests, configurations, layers
//	└── ingest/        parts of blobs, while a pull is under way or interrupted
//
// containerd's local content store has the same form except for the two files. So
// blobs are written once, straight to where they stay, and what an interrupted
// pull leaves is continued by the next one.
//
// The index names an image only once all of it is there: it is replaced as the
// last step, by renaming a file.
//
// Read ocilayout.go first, which opens a layout, then lock.go, which keeps two
// processes apart, and index.go, which names images. labels.go keeps the labels that
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
	// maxFile bounds what is read of the layout's own files in bytes. An index
	// has some 300 bytes per image.
	maxFile = 16 << 20
	// keepUnfinished is how long parts of blobs of other images are kept for a
	// pull that continues them.
	keepUnfinished = 24 * time.Hour
)

// Options say how a layout is opened.
type Options struct {
	// OnWait, if set, is called once if another process is writing to the
	// layout, before waiting for its end.
	OnWait func()
}

// Layout is an image layout that this process alone writes to. It must be
// closed.
type Layout struct {
	dir   string
	lock  *os.File
	store content.Store
	// made reports that Open made the directory, fresh that it made the layout.
	made, fresh bool
}

// UnusableError is a directory that no image can be put into.
type UnusableError struct {
	// Dir is the directory.
	Dir string
	// Err is what is wrong with it.
	Err error
}

// Error names the directory and the cause.
func (e *UnusableError) Error() string { return e.Dir + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *UnusableError) Unwrap() error { return e.Err }

// Open opens the layout in a directory, and makes one where the directory is
// empty or does not exist. It waits while another process has it open. The
// error is an [UnusableError] if the directory is something else.
func Open(ctx context.Context, dir string, o Options) (*Layout, error) {
	made, err := makeDir(dir)
	if err != nil {
		return nil, err
	}
	// What another user has in it, or can exchange, would lead the blobs anywhere.
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

// tidy removes ingests without data: their process was killed before there was
// any, or after the blob was in its place. containerd's store cannot list what
// it has beside such a one.
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

// Store returns where the blobs of images go. What it has is not yet in the index. A
// damaged blob is not there.
func (l *Layout) Store() content.Store { return l.store }

// Unfinished reports whether there is anything that a further pull finds of an
// image that is not yet in the index: parts of blobs, or blobs in a layout that
// has no index.
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

// Close lets others use the layout. Where no image was ever added and nothing
// has arrived, it leaves no trace of a layout that Open made.
func (l *Layout) Close() error {
	if _, err := os.Stat(filepath.Join(l.dir, ocispec.ImageIndexFile)); l.fresh && errors.Is(err, fs.ErrNotExist) {
		l.clear()
	}
	return l.lock.Close()
}

// clear removes what is empty. os.Remove leaves directories alone that have
// anything in them.
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

// sweep removes the ingest directory, unless there are parts in it that a pull
// of another image may continue.
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

// makeDir makes the directory if it is missing.
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

// replaceFile puts a file into place as a whole: a reader finds the
// former content or the new one.
func replaceFile(path string, data []byte) error {
	return wholefile.WritePath(path, data, wholefile.Options{Mode: 0o644})
}
