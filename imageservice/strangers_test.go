package imageservice

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestStrangersAreHungUpOn at once, whatever they say that they still send.
func TestStrangersAreHungUpOn(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	for _, head := range []string{"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", "POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"} {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address)
		must(t, err)
		_, err = io.WriteString(c, head)
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(3*time.Second)))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		_ = c.Close()
	}
}

// TestStrangersMakeRoom: however many connect and say nothing, the oldest goes, and who
// has a key stays.
func TestStrangersMakeRoom(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	o, manifest, _ := offerOf(t.Context(), 0, holding(nil))
	key, withdraw := l.add(o)
	defer withdraw()
	known := dialLoopback(t, l)
	if code, err := known.ask(key, manifest.String()); code != 200 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	var all []net.Conn
	for range maxStrangers + 1 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	must(t, all[0].SetReadDeadline(time.Now().Add(3*time.Second)))
	if _, err := all[0].Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the oldest stays: %v", err)
	}
	for _, c := range []*oneConn{known, dialLoopback(t, l)} {
		if code, err := c.ask(key, manifest.String()); code != 200 || err != nil {
			t.Errorf("then %d, %v", code, err)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
