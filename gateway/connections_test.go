package gateway

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"
)

// knock makes a request on a connection that stays open.
func knock(t *testing.T, address, path, secret string) *http.Response {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
	must(t, err)
	req.Header.Set(tokenHeader, secret)
	must(t, req.Write(conn))
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	_ = resp.Body.Close()
	return resp
}

// TestStrangersMakeRoom fills the gateway with connections of clients that do
// not know the secret, and after them with those that do and are idle.
func TestStrangersMakeRoom(t *testing.T) {
	t.Parallel()
	const most = 4
	r := run(t, func(c *Config) { c.MaxConnections = most })
	secret := r.secret(t)
	for range 2 * most {
		knock(t, r.address, "/v2/", "")
		knock(t, r.address, "/healthz", "")
	}
	for range most {
		if status := knock(t, r.address, "/v2/", secret).StatusCode; status != http.StatusOK {
			t.Errorf("with the secret: %d", status)
		}
	}
	if status := knock(t, r.address, "/readyz", "").StatusCode; status != http.StatusOK {
		t.Errorf("a probe beside idle clients: %d", status)
	}
}

// TestWhoMakesRoom holds the order.
func TestWhoMakesRoom(t *testing.T) {
	t.Parallel()
	p := newPool(5)
	now := time.Now()
	add := func(source string, known bool, state http.ConnState, age time.Duration) *boundedConn {
		client, _ := net.Pipe()
		t.Cleanup(func() { _ = client.Close() })
		c := &boundedConn{Conn: client, pool: p, source: source, known: known, tracked: true, state: state, since: now.Add(-age)}
		p.conns[c] = true
		return c
	}
	want := []*boundedConn{
		add("b", false, http.StateIdle, time.Second),
		add("b", false, http.StateNew, 0),
		add("a", false, http.StateIdle, time.Hour), // more in all, but b has the greater share
		add("b", false, http.StateActive, 0),
		add("a", true, http.StateIdle, 0),
	}
	add("a", true, http.StateActive, time.Hour)
	for i, c := range want {
		got := p.victim()
		if got != c {
			t.Fatalf("%d: %+v makes room, want %+v", i, got, c)
		}
		delete(p.conns, got)
	}
	if got := p.victim(); got != nil {
		t.Errorf("%+v makes room in the middle of a request that it may make", got)
	}
}
