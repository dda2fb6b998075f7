package signer

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ownGroup keeps signals of the terminal from a helper: it ends when its input
// does.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// noCore keeps a helper, which is about to know a PIN, from leaving its memory
// behind. A limit of one byte also counts for programs that core dumps are piped
// to: core(5).
func noCore(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
}
