package daemon

import (
	"net"
	"syscall"
	"testing"
)

func TestSocketsFromSystemd(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	file, err := l.(*net.TCPListener).File() //nolint:errcheck,forcetypeassert // it is one
	must(t, err)
	must(t, l.Close())
	// The descriptor is given away.
	fd, err := syscall.Dup(int(file.Fd()))
	must(t, err)
	must(t, file.Close())
	got, err := listenersFrom(fd, 1)
	must(t, err)
	defer CloseAll(got)
	if got[0].Addr().String() != l.Addr().String() {
		t.Errorf("got %s", got[0].Addr())
	}
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1")
	if got, err := Inherited(); got != nil || err != nil {
		t.Errorf("another process's: %v, %v", got, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
