//go:build linux

package integration

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const serveUsage = "serve NAME ADDRESS PROGRAM [ARG...], or serve -stop|-term|-kill|-ended NAME"

// serveCmd runs any server in the foreground, with what it writes in NAME.log,
// and waits until it listens at ADDRESS: a host:port, or the path of a socket.
// "-stop" ends it, "-kill" without a word to it; "-term" only asks it to, and
// "-ended" waits until it has ended, without an error.
func (r *rig) serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, serveUsage)
	if len(args) == 2 {
		ts.Check(r.control(args[0], args[1]))
		return
	}
	if len(args) < 3 {
		ts.Fatalf("usage: %s", serveUsage)
	}
	network := "tcp"
	if strings.HasPrefix(args[1], "/") {
		network = "unix"
	}
	d, err := r.start(args[0], args[2], args[3:]...)
	ts.Check(err)
	ts.Check(d.listening(network, args[1]))
}

func (r *rig) control(verb, name string) error {
	d := r.daemons[name]
	switch {
	case verb == "-stop":
		return r.stop(name)
	case d == nil:
		return fmt.Errorf("%s is not running", name)
	case verb == "-kill":
		delete(r.daemons, name)
		if err := d.cmd.Process.Kill(); err != nil {
			return err
		}
		<-d.done
		return nil
	case verb == "-term":
		return d.cmd.Process.Signal(syscall.SIGTERM)
	case verb == "-ended":
		delete(r.daemons, name)
		if err := within(func(timeout <-chan time.Time) bool {
			select {
			case <-d.done:
				return true
			case <-timeout:
				return false
			}
		}, name+" did not end"); err != nil {
			_ = d.cmd.Process.Kill() // it may have ended
			return err
		}
		return d.err
	default:
		return fmt.Errorf("usage: %s", serveUsage)
	}
}
