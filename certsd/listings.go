package certsd

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// listings keep the names in the roots until these change: which of them are
// other spellings of a registry's name cannot be told without all of them.
type listings struct {
	disk disk

	// mu guards roots.
	mu    sync.Mutex
	roots map[string]listing
}

// listing are the names in one root.
type listing struct {
	stamp stamp
	names []string
	// spelt are the names that are no canonical spelling of the registry they
	// mean, by that: see spellingKey. There are few, if any.
	spelt map[string][]string
	err   error
}

// get returns the names in a root.
func (l *listings) get(root string) listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.roots[root]; ok && l.disk.current(&known.stamp) {
		return known
	}
	now := listing{stamp: l.disk.stamp(root)}
	entries, err := l.disk.ReadDir(root)
	for _, entry := range entries {
		now.names = append(now.names, entry.Name())
	}
	now.err = err
	now.spell()
	if l.roots == nil {
		l.roots = make(map[string]listing)
	}
	l.roots[root] = now
	return now
}

// spell finds the other spellings. Those with a port after an underscore come
// first, as among the canonical ones; each kind is in the order of bytes.
func (l *listing) spell() {
	for _, name := range l.names {
		canonical, err := CanonicalDir(name)
		if err != nil || slices.Contains(dirNames("", canonical), name) {
			continue
		}
		if l.spelt == nil {
			l.spelt = make(map[string][]string)
		}
		key := spellingKey(canonical)
		l.spelt[key] = append(l.spelt[key], name)
	}
	for names := range maps.Values(l.spelt) {
		slices.SortFunc(names, func(a, b string) int {
			if x, y := strings.HasSuffix(a, "_"), strings.HasSuffix(b, "_"); x != y {
				return map[bool]int{true: -1, false: 1}[x]
			}
			return strings.Compare(a, b)
		})
	}
}

// spellingKey is one key for the canonical names that share their directories:
// with the default port, and without.
func spellingKey(canonical string) string { return strings.TrimSuffix(canonical, ":443") }
