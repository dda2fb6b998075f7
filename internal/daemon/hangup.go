package daemon

import (
	"os/signal"
	"syscall"
)

// IgnoreHangup makes the process ignore SIGHUP. By convention it asks daemons to reread
// their files, which these do anyway; by default it would end the process and its
// downloads.
func IgnoreHangup() { signal.Ignore(syscall.SIGHUP) }
