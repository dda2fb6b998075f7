//go:build !linux

package gateway

import "net"

// takenFrom is known on Linux.
func takenFrom(net.Conn) (int64, bool) { return 0, false }
