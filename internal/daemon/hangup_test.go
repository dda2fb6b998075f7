package daemon

import (
	"os/signal"
	"syscall"
	"testing"
)

func TestHangupEndsNothing(t *testing.T) {
	t.Cleanup(func() { signal.Reset(syscall.SIGHUP) })
	if IgnoreHangup(); !signal.Ignored(syscall.SIGHUP) {
		t.Error("SIGHUP ends the process")
	}
}
