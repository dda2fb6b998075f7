package imageservice

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxStrangers bounds the connections of clients that have not shown a key. containerd
// shows one at once.
const maxStrangers = 512

// strangers are those connections, the oldest first: every user of the machine can make
// any number. The zero value has none.
type strangers struct {
	// mu guards the rest.
	mu    sync.Mutex
	order list.List
	where map[net.Conn]*list.Element
}

// track is the ConnState of a server. One connection too many closes the oldest.
func (s *strangers) track(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if oldest := s.add(c); oldest != nil {
			_ = oldest.Close() // the server notices
		}
	case http.StateClosed, http.StateHijacked:
		s.remove(c)
	}
}

func (s *strangers) add(c net.Conn) (oldest net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.where == nil {
		s.where = map[net.Conn]*list.Element{}
	}
	s.where[c] = s.order.PushBack(c)
	if s.order.Len() <= maxStrangers {
		return nil
	}
	oldest, _ = s.order.Remove(s.order.Front()).(net.Conn)
	delete(s.where, oldest)
	return oldest
}

// remove is called for a connection that has ended, or whose client has a key.
func (s *strangers) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.where[c]; e != nil {
		s.order.Remove(e)
		delete(s.where, c)
	}
}
