package gateway

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/bloblabels"
	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// labelFiles keeps the labels of each blob in a file. An invalid file, as after a power
// cut, counts as no labels: conversions no longer know its blob, and the next eviction
// removes it.
type labelFiles struct{ dir string }

func newLabels(dir string) *bloblabels.Store { return &bloblabels.Store{Keeper: labelFiles{dir}} }

func (l labelFiles) path(d digest.Digest) string {
	return filepath.Join(l.dir, d.Algorithm().String(), d.Encoded())
}

// Load implements bloblabels.Keeper.
func (l labelFiles) Load(d digest.Digest) (map[string]string, error) {
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

// Save implements bloblabels.Keeper.
func (l labelFiles) Save(d digest.Digest, labels map[string]string) error {
	path := l.path(d)
	if len(labels) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(labels)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return wholefile.WritePath(path, b, wholefile.Options{})
}
