package daemon

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain is also what systemd would start: it prints what it has inherited.
func TestMain(m *testing.M) {
	if os.Getenv("LIST_INHERITED") == "" {
		os.Exit(m.Run())
	}
	got, err := Inherited()
	for _, l := range got {
		fmt.Println(l.Addr())
	}
	fmt.Println(err, Activated())
}

// inherited starts a process with files as systemd does, and is what it prints.
func inherited(t *testing.T, fds string, files ...*os.File) string {
	t.Helper()
	// The number of the process is not known before it is there.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "LIST_INHERITED=1", "LISTEN_FDS="+fds)
	cmd.ExtraFiles = files
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

func TestSocketsFromSystemd(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	socket, err := l.(*net.TCPListener).File() //nolint:errcheck,forcetypeassert // it is one
	must(t, err)
	defer socket.Close()
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	must(t, err)
	defer plain.Close()
	for _, row := range []struct {
		name, fds string
		files     []*os.File
		want      string
	}{
		// The variables are gone for whoever is started by it.
		{"two sockets", "2", []*os.File{socket, socket}, l.Addr().String() + "\n" + l.Addr().String() + "\n<nil> false"},
		{"one of them is a file", "2", []*os.File{socket, plain}, "inherited socket LISTEN_FD_4: "},
		{"no number", "two", nil, `LISTEN_FDS is "two" true`},
		{"none", "0", nil, `LISTEN_FDS is "0" true`},
		{"less than none", "-1", nil, `LISTEN_FDS is "-1" true`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := inherited(t, row.fds, row.files...); !strings.HasPrefix(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestSocketsOfAnotherProcess(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1")
	if got, err := Inherited(); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestNotify tells systemd at a file and at an abstract name, and says where
// nobody listens.
func TestNotify(t *testing.T) {
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), "@certsd-test-" + filepath.Base(t.TempDir())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		must(t, err)
		t.Setenv("NOTIFY_SOCKET", address)
		must(t, Notify("READY=1"))
		buf := make([]byte, 100)
		n, err := l.Read(buf)
		must(t, err)
		if got := string(buf[:n]); got != "READY=1" {
			t.Errorf("%s: got %q", address, got)
		}
		must(t, l.Close())
		if err := Notify("READY=1"); err == nil {
			t.Errorf("%s: nobody listens, and that is no error", address)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	must(t, Notify("READY=1"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
