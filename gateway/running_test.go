//go:build linux

package gateway

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestClientsOfTheOneThatRuns prints, by a configuration that knows nothing but
// the state directory, what clients of a running gateway need: the port that
// the system chose, and its TLS.
func TestClientsOfTheOneThatRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, certtest.NewCA("servers").Server("127.0.0.1").Write(dir, "tls"))
	for name, row := range map[string]struct {
		change func(*Config)
		scheme string
	}{
		"plain":         {func(*Config) {}, "http://"},
		"with TLS":      {func(c *Config) { c.TLSCert, c.TLSKey = dir+"/tls.cert", dir+"/tls.key" }, "https://"},
		"a socket, too": {func(c *Config) { c.Listen = append(c.Listen, "unix:"+c.State+"/socket") }, "http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, row.change)
			asks := DefaultConfig()
			asks.Root, asks.State = r.config.Root, r.config.State
			got, err := asks.Clients("")
			must(t, err)
			if want := row.scheme + r.address; got.URL != want || !got.Running {
				t.Errorf("got %s, running %t; want %s", got.URL, got.Running, want)
			}
			if got, err := asks.Clients("https://gateway.example"); err != nil || got.URL != "https://gateway.example" {
				t.Errorf("where it was said: %s, %v", got.URL, err)
			}
			must(t, r.stop())
			if _, err := os.Stat(filepath.Join(asks.State, runningFile)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it has ended, and its file is there: %v", err)
			}
			if got, err := asks.Clients(""); err != nil || got.URL != "http://127.0.0.1:5999" || got.Running {
				t.Errorf("it has ended: %s, running %t, %v", got.URL, got.Running, err)
			}
		})
	}
}

// TestOneThatWasKilledIsNotRunning: the file alone says nothing, and one that is
// not the owner's, or is nonsense, is an error only where somebody holds it.
func TestOneThatWasKilledIsNotRunning(t *testing.T) {
	t.Parallel()
	c := printable(t)
	file := filepath.Join(c.State, runningFile)
	must(t, os.WriteFile(file, []byte(`{"addresses":["127.0.0.1:1"]}`), 0o600))
	if got, err := c.Clients(""); err != nil || got.Running || got.URL != "http://127.0.0.1:5999" {
		t.Errorf("got %s, running %t, %v", got.URL, got.Running, err)
	}
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	must(t, hold(f))
	if got, err := c.Clients(""); err != nil || !got.Running || got.URL != "http://127.0.0.1:1" {
		t.Errorf("held: got %s, running %t, %v", got.URL, got.Running, err)
	}
	must(t, os.WriteFile(file, []byte("{"), 0o600))
	if _, err := c.Clients(""); err == nil {
		t.Error("nonsense is taken for an address")
	}
	must(t, os.Remove(file))
	must(t, os.Symlink(filepath.Join(c.State, secretFile), file))
	if _, err := c.Clients(""); err == nil {
		t.Error("a link is followed")
	}
}

// TestPortOfNobody: a port that the system chooses is not known before.
func TestPortOfNobody(t *testing.T) {
	t.Parallel()
	c := printable(t)
	c.Listen = []string{"127.0.0.1:0"}
	want := "clients cannot reach a gateway at 127.0.0.1:0: give its address with --client-url" + none(c)
	if _, err := c.Clients(""); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
