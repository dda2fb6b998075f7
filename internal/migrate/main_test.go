package migrate_test

import (
	"log"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestMain gives the tests a system with one CA root: reading the roots of a
// real one takes most of the time of a lookup.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "migrate-test-")
	if err != nil {
		log.Fatal(err)
	}
	bundle := filepath.Join(dir, "system.pem")
	if err := os.WriteFile(bundle, certtest.NewCA("system").PEM, 0o600); err != nil {
		log.Fatal(err)
	}
	for name, value := range map[string]string{"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": filepath.Join(dir, "none")} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			log.Print(err)
		}
		os.Exit(code)
	}))
}
