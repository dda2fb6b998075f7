// Package bloblabels keeps the labels of a content store. It decides which labels a
// blob has and serialises their changes; a [Keeper] stores them on disk. The stores of
// the gateway, of image layouts and of copies use one each.
package bloblabels

import (
	"maps"
	"sync"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
)

// Keeper stores the labels of blobs on disk. Its methods are called one at a time, with
// valid digests.
type Keeper interface {
	// Load returns the labels of a blob, which the caller may change; nil for none.
	Load(d digest.Digest) (map[string]string, error)
	// Save replaces the labels of a blob, and forgets the blob if set is empty.
	Save(d digest.Digest, set map[string]string) error
}

// Store is a label store over a keeper. It may be used concurrently.
type Store struct {
	Keeper Keeper
	// Merge, if not nil, returns the new value of a label that exists when [Store.Set]
	// sets another: the content may have come from elsewhere before. If it is nil, Set
	// replaces all labels.
	Merge func(old, value string) string

	// mu is held from loading labels until they are saved.
	mu sync.Mutex
}

var _ local.LabelStore = (*Store)(nil)

// Get implements local.LabelStore.
func (s *Store) Get(d digest.Digest) (map[string]string, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Keeper.Load(d)
}

// Set implements local.LabelStore. It labels content that has just arrived.
func (s *Store) Set(d digest.Digest, set map[string]string) error {
	_, err := s.change(d, func(all map[string]string) {
		if s.Merge == nil {
			clear(all)
		}
		for key, value := range set {
			if old := all[key]; old != "" && old != value {
				value = s.Merge(old, value)
			}
			all[key] = value
		}
	})
	return err
}

// Update implements local.LabelStore: a label without a value is removed.
func (s *Store) Update(d digest.Digest, set map[string]string) (map[string]string, error) {
	return s.change(d, func(all map[string]string) { maps.Copy(all, set) })
}

// Remove forgets the labels of a blob that is gone.
func (s *Store) Remove(d digest.Digest) error {
	_, err := s.change(d, func(all map[string]string) { clear(all) })
	return err
}

func (s *Store) change(d digest.Digest, edit func(map[string]string)) (map[string]string, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.Keeper.Load(d)
	if err != nil {
		return nil, err
	}
	before := maps.Clone(all)
	if all == nil {
		all = map[string]string{}
	}
	edit(all)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	if maps.Equal(before, all) {
		return all, nil
	}
	return all, s.Keeper.Save(d, all)
}
