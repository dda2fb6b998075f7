package hostdir

import (
	"sync"
)

// Life is the lifetime of an [Endpoint]: from the lookup that made it to the one that
// finds its files changed. It is the key under which callers remember things about the
// endpoint: connections, the certificate that was accepted.
type Life struct {
	// mu guards what follows.
	mu    sync.Mutex
	ended bool
	// after holds the functions to call at the end, each under its own number.
	after map[int]func()
	next  int
}

// over reports whether the endpoint was replaced or removed.
func (l *Life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// AfterEnd arranges for f to be called when the life ends, by the lookup that ends it,
// or at once if it has ended. stop cancels that.
func (l *Life) AfterEnd(f func()) (stop func()) {
	number, ended := l.add(f)
	if ended {
		f()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.after, number)
	}
}

func (l *Life) add(f func()) (number int, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, true
	}
	if l.after == nil {
		l.after = make(map[int]func())
	}
	l.next++
	l.after[l.next] = f
	return l.next, false
}

func (l *Life) end() {
	l.mu.Lock()
	after := l.after
	l.ended, l.after = true, nil
	l.mu.Unlock()
	for _, f := range after {
		f()
	}
}
