package hostdir

import (
	"sync"
)

// Life is the time for which an [Endpoint] is what its files say: from the lookup
// that made it to the one that met something else. It is the key of what is
// remembered of the endpoint: connections, the certificate that was accepted.
type Life struct {
	// mu guards what follows.
	mu    sync.Mutex
	ended bool
	// after are called at the end, each by a number of its own.
	after map[int]func()
	next  int
}

// over reports whether the endpoint was replaced, or went.
func (l *Life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// AfterEnd has f called when the life ends, by the lookup that ends it; at once if
// it has ended. stop takes that back.
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

// end ends the life.
func (l *Life) end() {
	l.mu.Lock()
	after := l.after
	l.ended, l.after = true, nil
	l.mu.Unlock()
	for _, f := range after {
		f()
	}
}
