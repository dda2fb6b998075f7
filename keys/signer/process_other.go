//go:build !linux

package signer

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }

func noCore(int) {}
