// Package bloblabels keeps the labels of a content store. It decides which labels
// there are and serialises their changes; a [Keeper] decides where they are on
// disk. The stores of the gateway, of image layouts and of copies have one each.
package bloblabels

import (
	"maps"
	"sync"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
)

// Keeper has the labels of blobs on the disk. Its methods are called one at a time,
// with digests that are valid.
type Keeper interface {
	// Load returns the labels of a blob, which become the caller's; nil for none.
	Load(d digest.Digest) (map[string]string, error)
	// Save replaces them; it forgets a blob without any.
	Save(d digest.Digest, set map[string]string) error
}

// Store is a label store over a keeper. It may be used concurrently.
type Store struct {
	Keeper Keeper
	// Merge, if set, is what becomes of a label that [Store.Set] meets: the
	// content may have come from others before. nil replaces all labels.
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

// Set implements local.LabelStore. Content that has just come is labelled so.
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
