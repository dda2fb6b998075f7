package certsd

import "sync"

// listings keep the names in the roots until these change: every inspection
// looks for other spellings among them.
type listings struct {
	disk disk

	// mu guards roots.
	mu    sync.Mutex
	roots map[string]listing
}

type listing struct {
	stamp stamp
	names []string
	err   error
}

// get returns the names in a root.
func (l *listings) get(root string) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.roots[root]; ok && l.disk.current(&known.stamp) {
		return known.names, known.err
	}
	now := listing{stamp: l.disk.stamp(root)}
	entries, err := l.disk.ReadDir(root)
	for _, entry := range entries {
		now.names = append(now.names, entry.Name())
	}
	now.err = err
	if l.roots == nil {
		l.roots = make(map[string]listing)
	}
	l.roots[root] = now
	return now.names, now.err
}
