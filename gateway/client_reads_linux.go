package gateway

import (
	"net"

	"golang.org/x/sys/unix"
)

// takenFrom returns a number that changes when the peer receives data: the bytes it
// has acknowledged in all, or on a unix socket those it has not read yet.
func takenFrom(c net.Conn) (n int64, ok bool) {
	raw, ok := rawConn(c)
	if !ok {
		return 0, false
	}
	err := raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int64(info.Bytes_acked) //nolint:gosec // it only has to differ
			return
		}
		left, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		n, ok = int64(left), err == nil
	})
	return n, ok && err == nil
}
