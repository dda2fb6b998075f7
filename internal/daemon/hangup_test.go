package daemon

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

func TestHangupEndsNothing(t *testing.T) {
	t.Cleanup(func() { signal.Reset(syscall.SIGHUP) })
	// Below nohup it is ignored from the start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	if signal.Ignored(syscall.SIGHUP) {
		t.Fatal("SIGHUP is ignored whatever is done")
	}
	if IgnoreHangup(); !signal.Ignored(syscall.SIGHUP) {
		t.Error("SIGHUP ends the process")
	}
}
