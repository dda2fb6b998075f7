//go:build linux

package integration

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

const serveUsage = "serve NAME ADDRESS PROGRAM [ARG...], or serve -stop NAME"

// serveCmd runs any server in the foreground, with what it writes in NAME.log,
// and waits until it listens at ADDRESS: a host:port, or the path of a socket.
func (r *rig) serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, serveUsage)
	switch {
	case len(args) == 2 && args[0] == "-stop":
		ts.Check(r.stop(args[1]))
	case len(args) >= 3:
		network := "tcp"
		if strings.HasPrefix(args[1], "/") {
			network = "unix"
		}
		d, err := r.start(args[0], args[2], args[3:]...)
		ts.Check(err)
		ts.Check(d.listening(network, args[1]))
	default:
		ts.Fatalf("usage: %s", serveUsage)
	}
}
