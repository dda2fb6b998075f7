package benchtest

import (
	"testing"

	"github.com/containerd/log"
)

// Quiet keeps containerd, until the benchmark ends, from saying again and again
// what matters once.
func Quiet(b *testing.B) {
	b.Helper()
	level := log.GetLevel().String()
	if err := log.SetLevel("error"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.SetLevel(level) })
}
