package certsd_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

// TestHintNamesTheDirectoryThatIsThere holds that an error of TLS sends nobody to
// create a directory which there is, in whatever spelling and root, when it says
// nothing about TLS.
func TestHintNamesTheDirectoryThatIsThere(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "https://")
	first, second := t.TempDir(), t.TempDir()
	dir := filepath.Join(second, host)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("server = '"+srv.URL+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	transport := &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{first, second}}}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("an unknown certificate is accepted")
	}
	if text := err.Error(); strings.Contains(text, "create the directory") || !strings.Contains(text, "into "+dir+" as NAME.crt") {
		t.Errorf("it says %s", text)
	}
}
