package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitingIsShown holds that a person is told what is waited for, once it takes
// long.
func TestWaitingIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		told, stop := showWaiting(&out)
		told("what is quick")
		time.Sleep(patience / 2)
		told("what takes long")
		time.Sleep(2 * patience)
		told("what is never told")
		stop()
		time.Sleep(2 * patience)
		synctest.Wait()
		if got, want := out.String(), "certsd: waiting for what takes long\n"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}
