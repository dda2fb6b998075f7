package signer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup keeps the terminal's signals from a helper, which ends with its input.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// noCore keeps a helper, which is about to receive a PIN, from dumping core. A limit
// of one byte also stops core dumps that are piped to a program: core(5).
func noCore(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
}
