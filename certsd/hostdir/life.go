package hostdir

import (
	"sync"
)

// Life is the time for which an [Endpoint] matches its files: from the lookup that
// made it to the one that found a change. It is the key for what is remembered about
// the endpoint: connections, the certificate that was accepted.
type Life struct {
	// mu guards what follows.
	mu    sync.Mutex
	ended bool
	// after are the functions to call at the end, each under its own number.
	after map[int]func()
	next  int
}

// over reports whether the endpoint was replaced or removed.
func (l *Life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// AfterEnd arranges for f to be called when the life ends, by the lookup that ends
// it; at once if it has ended. stop cancels that.
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
