package check

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// BenchmarkAllOffline checks a thousand host directories, each with a CA root
// and two client certificates, without a network: what certsd check --all
// --offline does. It should stay below two seconds.
func BenchmarkAllOffline(b *testing.B) {
	root := b.TempDir()
	ca := certtest.NewCA("bench")
	pair := ca.Client("alpha")
	for i := range 1000 {
		dir := filepath.Join(root, fmt.Sprintf("registry-%d.example_5000_", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for _, write := range []func() error{
			func() error { return ca.Write(dir, "ca") },
			func() error { return pair.Write(dir, "alpha") },
			func() error { return pair.Write(dir, "beta") },
		} {
			if err := write(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		c := &Checker{Roots: certsd.Roots{root}, Offline: true}
		report, err := c.All(b.Context())
		if err != nil || len(report.Registries) != 1000 || report.ExitCode() != ExitWorks {
			b.Fatalf("%d registries, %v", len(report.Registries), err)
		}
		if err := WriteLines(io.Discard, report); err != nil {
			b.Fatal(err)
		}
	}
}
