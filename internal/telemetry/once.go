package telemetry

import "sync"

// maxRemembered bounds the memories of what was said already. To forget costs
// a line.
const maxRemembered = 4096

// changes remembers by key what was said last. Its zero value is ready.
type changes struct {
	mu   sync.Mutex // guards said
	said map[string]string
}

// is reports whether text is new for the key.
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
