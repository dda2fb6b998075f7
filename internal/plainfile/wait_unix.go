//go:build unix

package plainfile

import "syscall"

// noWait opens a pipe without a writer instead of waiting for one.
const noWait = syscall.O_NONBLOCK | syscall.O_NOCTTY
