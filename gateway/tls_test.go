package gateway

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// A bundle of client CAs that is cut leaves the last good one in use.
func TestCutBundleOfClientCAs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := certtest.NewCA("one"), certtest.NewCA("two")
	must(t, one.Server("127.0.0.1").Write(dir, "tls"))
	file := filepath.Join(dir, "clients.pem")
	write := func(data []byte) { must(t, os.WriteFile(file, data, 0o600)) }
	whole := append(bytes.Clone(one.PEM), two.PEM...)
	write(whole)
	certs := &certificates{cert: filepath.Join(dir, "tls.cert"), key: filepath.Join(dir, "tls.key"), clientCA: file}
	first, err := certs.get(t.Context())
	must(t, err)
	write(whole[:len(whole)-40])
	if now, err := certs.get(t.Context()); err != nil || now != first {
		t.Errorf("a cut bundle is used: %v", err)
	}
	write(append([]byte("\ufeff"), two.PEM...))
	if now, err := certs.get(t.Context()); err != nil || !now.ClientCAs.Equal(two.Pool()) {
		t.Errorf("a bundle with a byte order mark is not used: %v", err)
	}
}
