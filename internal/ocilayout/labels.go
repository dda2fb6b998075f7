package ocilayout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/bloblabels"
	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// labelsFile holds the labels of blobs. Only images converted from Registry v1 and
// schema 1 have any: they tell which layer of the registry a blob was made from, so
// that it is not fetched again.
const labelsFile = ".certsd-labels.json"

// labels keeps the labels of a layout's content store in one file.
type labels struct {
	path string
	set  map[digest.Digest]map[string]string
}

func openLabels(path string) (*bloblabels.Store, error) {
	l := &labels{path: path, set: map[digest.Digest]map[string]string{}}
	f, err := os.Open(path) //nolint:gosec // the layout's own file
	if errors.Is(err, fs.ErrNotExist) {
		return &bloblabels.Store{Keeper: l}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readBounded(f)
	if err == nil {
		err = jsonwords.Of(json.Unmarshal(data, &l.set))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it may be removed", labelsFile, err)
	}
	if l.set == nil {
		l.set = map[digest.Digest]map[string]string{}
	}
	return &bloblabels.Store{Keeper: l}, nil
}

// Load implements bloblabels.Keeper.
func (l *labels) Load(d digest.Digest) (map[string]string, error) { return maps.Clone(l.set[d]), nil }

// Save implements bloblabels.Keeper.
func (l *labels) Save(d digest.Digest, set map[string]string) error {
	if l.set[d] = maps.Clone(set); len(set) == 0 {
		delete(l.set, d)
	}
	data, err := json.Marshal(l.set)
	if err != nil {
		return err
	}
	return replaceFile(l.path, data)
}
