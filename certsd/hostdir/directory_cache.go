package hostdir

import (
	"crypto/sha256"
	"io/fs"
	"sync"
)

// maxCached is the number of hosts, and of directories, kept in memory. An entry
// without certificates takes about a kilobyte.
const maxCached = 16384

// directories keeps the content of host directories until a file changes.
type directories struct {
	disk  disk
	keys  KeyOpener
	cache lru[*cachedDir]
}

// cachedDir is one directory as it was last read.
type cachedDir struct {
	// mu guards what follows.
	mu     sync.Mutex
	stamps []stamp
	sum    [sha256.Size]byte
	dir    *Directory
	// good is the last content without a failure.
	good *Directory
}

// get returns the content of an existing directory; info is its present state. The
// pointer stays the same as long as the content does. stamps are the paths that the
// content depends on, read the number of files read, counting the directory's list.
func (d *directories) get(path string, info fs.FileInfo) (dir *Directory, stamps []stamp, read int) {
	c, _ := d.cache.get(path, func() *cachedDir { return new(cachedDir) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current(d.disk, path, info) {
		return c.dir, c.stamps, 0
	}
	rec := newRecorder(d.disk, path)
	dir = load(rec, path, c.good, d.keys)
	c.stamps = rec.stamps
	if sum := rec.digest(); c.dir == nil || sum != c.sum {
		c.sum, c.dir = sum, dir
		if failures(dir.Problems) == nil {
			c.good = dir
		}
	}
	return c.dir, c.stamps, len(c.stamps)
}

// forget drops a directory that is gone: one created in its place later is judged on
// its own.
func (d *directories) forget(path string) { d.cache.remove(path) }

func (c *cachedDir) current(d disk, path string, info fs.FileInfo) bool {
	if c.dir == nil {
		return false
	}
	for i := range c.stamps {
		s := &c.stamps[i]
		if s.path == path {
			if !s.matches(info, nil) {
				return false
			}
		} else if !d.current(s) {
			return false
		}
	}
	return true
}
