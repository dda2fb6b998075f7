package gateway

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/certsd/containerd-certsd/internal/wholefile"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
)

// labelFiles keeps the labels of a content store, a file for each blob. One that
// cannot be read, as after a power cut, has no labels: its blob is then unknown
// to conversions and goes with the next eviction.
type labelFiles struct {
	dir string
	// mu is held from reading a file until it is written.
	mu sync.Mutex
}

var _ local.LabelStore = (*labelFiles)(nil)

func (l *labelFiles) path(d digest.Digest) string {
	return filepath.Join(l.dir, d.Algorithm().String(), d.Encoded())
}

// Get implements local.LabelStore.
func (l *labelFiles) Get(d digest.Digest) (map[string]string, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(l.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var labels map[string]string
	if json.Unmarshal(b, &labels) != nil {
		return nil, nil
	}
	return labels, nil
}

// Set implements local.LabelStore.
func (l *labelFiles) Set(d digest.Digest, labels map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(d, labels)
}

// Update implements local.LabelStore.
func (l *labelFiles) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	labels, err := l.Get(d)
	if err != nil {
		return nil, err
	}
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, update)
	maps.DeleteFunc(labels, func(_, value string) bool { return value == "" })
	return labels, l.write(d, labels)
}

func (l *labelFiles) write(d digest.Digest, labels map[string]string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	b, err := json.Marshal(labels)
	if err != nil {
		return err
	}
	path := l.path(d)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return wholefile.WritePath(path, b, wholefile.Options{})
}

// remove forgets the labels of a blob that is gone.
func (l *labelFiles) remove(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return err
	}
	err := os.Remove(l.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
