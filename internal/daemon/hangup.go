package daemon

import (
	"os/signal"
	"syscall"
)

// IgnoreHangup makes SIGHUP do nothing. It asks daemons to read their files
// again, which these do whenever one changes, and its default is to end the
// process and every download with it.
func IgnoreHangup() { signal.Ignore(syscall.SIGHUP) }
