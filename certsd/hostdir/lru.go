package hostdir

import (
	"container/list"
	"sync"
)

// lru is a map of bounded size that forgets the least recently used entry. Its
// values are made on first use. It may be used concurrently.
type lru[V any] struct {
	limit int

	// mu guards what follows.
	mu    sync.Mutex
	items map[string]*list.Element
	used  list.List // of *item[V], the last used in front
}

type item[V any] struct {
	key   string
	value V
}

// get returns the value of key, made by create if there is none, and any values evicted
// for it.
func (c *lru[V]) get(key string, create func() V) (value V, evicted []V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, found := c.items[key]; found {
		c.used.MoveToFront(e)
		return e.Value.(*item[V]).value, nil //nolint:errcheck // the list holds nothing else
	}
	if c.items == nil {
		c.items = make(map[string]*list.Element)
	}
	value = create()
	c.items[key] = c.used.PushFront(&item[V]{key, value})
	for c.used.Len() > c.limit {
		old := c.used.Remove(c.used.Back()).(*item[V]) //nolint:errcheck // as above
		delete(c.items, old.key)
		evicted = append(evicted, old.value)
	}
	return value, evicted
}

// remove forgets a key.
func (c *lru[V]) remove(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, found := c.items[key]; found {
		c.used.Remove(e)
		delete(c.items, key)
	}
}
