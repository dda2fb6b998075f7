// Package citest decides what happens to a test that lacks something it needs: it is
// skipped on a developer's machine, and fails if CI is set.
package citest

import (
	"os"
	"testing"
)

// NothingSkipped reports whether all tests must run: CI is set to anything but "false"
// or "0".
func NothingSkipped() bool {
	switch os.Getenv("CI") {
	case "", "false", "0":
		return false
	}
	return true
}

// Missing ends a test that lacks something: it skips the test, or fails it in CI.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	if NothingSkipped() {
		tb.Fatalf("%s (nothing is skipped with CI=%s)", why, os.Getenv("CI"))
	}
	tb.Skip(why)
}
