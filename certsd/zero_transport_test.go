package certsd_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// closing reports whether a body was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestRequestsThatCannotBeMade are refused without a panic, and their bodies closed, as
// http.RoundTripper has it.
func TestRequestsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	body := &closing{Reader: strings.NewReader("x")}
	resp, err := (&certsd.Transport{}).RoundTrip(&http.Request{Method: http.MethodPost, Body: body})
	if err == nil {
		_ = resp.Body.Close()
	}
	if err == nil || err.Error() != "certsd: request without URL" || !body.closed {
		t.Errorf("got %v, the body is closed: %t", err, body.closed)
	}
}

// TestZeroTransport searches the directories that are the default.
func TestZeroTransport(t *testing.T) {
	// Those of root are the machine's, and not this test's to write: it has plain HTTP.
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	ca := certtest.NewCA("servers")
	var plain bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) }))
	defer server.Close()
	dir := filepath.Join(config, "containerd", "certs.d", strings.TrimPrefix(server.URL, "http://"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := ca.Write(dir, "ca"); err != nil {
		t.Fatal(err)
	}
	transport := &certsd.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(&plain, resp.Body); err != nil || plain.String() != "here" {
		t.Errorf("got %q, %v", &plain, err)
	}
}
