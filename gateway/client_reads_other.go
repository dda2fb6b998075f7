//go:build !linux

package gateway

import "net"

// takenFrom is implemented on Linux only.
func takenFrom(net.Conn) (int64, bool) { return 0, false }
