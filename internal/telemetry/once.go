package telemetry

import "sync"

// maxRemembered bounds the memories of what was logged. Forgetting costs a repeated
// line.
const maxRemembered = 4096

// changes remembers by key what was logged last. Its zero value is ready to use.
type changes struct {
	mu   sync.Mutex // guards said
	said map[string]string
}

// is reports whether text is new for the key, and remembers it.
func (c *changes) is(key, text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if said, ok := c.said[key]; ok && said == text {
		return false
	}
	if c.said == nil || len(c.said) >= maxRemembered {
		c.said = map[string]string{}
	}
	c.said[key] = text
	return true
}

func (c *changes) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.said, key)
}
