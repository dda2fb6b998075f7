package daemon

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// TestHangupEndsNothing sends SIGHUP to this program as a process of its own.
func TestHangupEndsNothing(t *testing.T) {
	if os.Getenv("HANGUP") != "" {
		signal.Reset(syscall.SIGHUP)
		if os.Getenv("HANGUP") == "ignored" {
			IgnoreHangup()
		}
		must(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
		return
	}
	// Below nohup(1) it does nothing in any case.
	for mode, lives := range map[string]bool{"ignored": true, "default": signal.Ignored(syscall.SIGHUP)} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestHangupEndsNothing") //nolint:gosec // this program
		cmd.Env = append(os.Environ(), "HANGUP="+mode)
		if err := cmd.Run(); (err == nil) != lives {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
