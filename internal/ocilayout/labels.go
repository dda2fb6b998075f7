package ocilayout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// labelsFile has the labels of the blobs that have any. Only images converted
// from Registry v1 and schema 1 leave some: they tell which layer of the
// registry a blob was made of, so that it is not fetched again.
const labelsFile = ".certsd-labels.json"

// labels is the label store of a layout's content store.
type labels struct {
	path string

	mu  sync.Mutex // guards the rest
	set map[digest.Digest]map[string]string
}

func openLabels(path string) (*labels, error) {
	l := &labels{path: path, set: map[digest.Digest]map[string]string{}}
	f, err := os.Open(path) //nolint:gosec // the layout's own file
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
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
	return l, nil
}

// Get implements local.LabelStore.
func (l *labels) Get(d digest.Digest) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.set[d]), nil
}

// Set implements local.LabelStore.
func (l *labels) Set(d digest.Digest, set map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.put(d, maps.Clone(set))
}

// Update implements local.LabelStore.
func (l *labels) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := maps.Clone(l.set[d])
	if set == nil {
		set = map[string]string{}
	}
	for key, value := range update {
		if set[key] = value; value == "" {
			delete(set, key)
		}
	}
	return maps.Clone(set), l.put(d, set)
}

// put keeps the labels of a blob, on disk too. l.mu is held.
func (l *labels) put(d digest.Digest, set map[string]string) error {
	if maps.Equal(l.set[d], set) {
		return nil
	}
	if l.set[d] = set; len(set) == 0 {
		delete(l.set, d)
	}
	data, err := json.Marshal(l.set)
	if err != nil {
		return err
	}
	return replaceFile(l.path, data)
}
