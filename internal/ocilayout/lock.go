package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// lockPause is the pause between attempts to take a lock that another process holds.
const lockPause = 200 * time.Millisecond

// acquire opens the oci-layout file and locks it, so that two processes do not write
// to the same part of a blob: containerd's local store has locks only within a
// process.
func (l *Layout) acquire(ctx context.Context, onWait func()) (*os.File, error) {
	for {
		f, err := l.openVersion()
		if err != nil {
			return nil, err
		}
		if err := waitForLock(ctx, f, onWait); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: another process is writing there: %w", l.dir, err), f.Close())
		}
		// The previous holder may have removed everything it created.
		if sameFile(f) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		if l.made, err = makeDir(l.dir); err != nil {
			return nil, err
		}
	}
}

// openVersion opens the oci-layout file, and creates it in an empty directory.
func (l *Layout) openVersion() (*os.File, error) {
	path := filepath.Join(l.dir, ocispec.ImageLayoutFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the layout's own file
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(path) //nolint:gosec // the layout's own file
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, l.unusable(fmt.Errorf("is neither empty nor an OCI image layout (no %s file): name another directory", ocispec.ImageLayoutFile))
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // as the other files of an image layout
}

func waitForLock(ctx context.Context, f *os.File, onWait func()) error {
	for first := true; ; first = false {
		locked, err := tryLock(f)
		if locked || err != nil {
			return err
		}
		if first && onWait != nil {
			onWait()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// sameFile reports whether an open file still exists under its name.
func sameFile(f *os.File) bool {
	there, err := os.Stat(f.Name())
	if err != nil {
		return false
	}
	this, err := f.Stat()
	return err == nil && os.SameFile(there, this)
}

// writeVersion checks the oci-layout file, and writes it if it is empty: new, or left
// by a pull that was killed.
func writeVersion(f *os.File) (fresh bool, err error) {
	data, err := readBounded(f)
	if err != nil {
		return false, fmt.Errorf("%s: %w", ocispec.ImageLayoutFile, err)
	}
	if len(data) > 0 {
		return false, checkVersion(data)
	}
	if data, err = json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return false, err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return false, err
	}
	return true, f.Sync()
}

func checkVersion(data []byte) error {
	var v ocispec.ImageLayout
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("%s: %w", ocispec.ImageLayoutFile, jsonwords.Of(err))
	}
	if v.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%s: version %q, where only %q is known", ocispec.ImageLayoutFile, v.Version, ocispec.ImageLayoutVersion)
	}
	return nil
}
