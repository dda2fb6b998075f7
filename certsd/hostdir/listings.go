package hostdir

import (
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// listings keeps the names in the roots until the roots change: finding other spellings
// of a registry's name requires all of them.
type listings struct {
	disk disk

	// mu guards roots.
	mu    sync.Mutex
	roots map[string]listing
}

// listing holds the names in one root.
type listing struct {
	stamp stamp
	names []string
	// spelt holds the names in other spellings: see [hostname.Spellings].
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
	now.spelt = hostname.Spellings(now.names)
	if l.roots == nil {
		l.roots = make(map[string]listing)
	}
	l.roots[root] = now
	return now
}
