package benchtest

import (
	"testing"

	"github.com/containerd/log"
)

// Quiet reduces containerd's log to errors until the benchmark ends.
func Quiet(b *testing.B) {
	b.Helper()
	level := log.GetLevel().String()
	if err := log.SetLevel("error"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = log.SetLevel(level) })
}
