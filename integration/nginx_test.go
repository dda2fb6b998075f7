//go:build linux

package integration

import (
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

const nginxUsage = "nginx start|reload NAME [verify=on|optional|optional_no_ca|off] [allow=CN,...] " +
	"[deny=STATUS] [upstream=ADDR] [include=FILE], or nginx stop NAME"

// nginxCmd runs an nginx that asks for client certificates in front of
// docker-registry, on port 443 of NAME.
func (r *rig) nginxCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, nginxUsage)
	if len(args) < 2 {
		ts.Fatalf("usage: %s", nginxUsage)
	}
	verb, args := args[0], args[1:]
	if verb == "stop" {
		ts.Check(r.stop(args[0]))
		return
	}
	f := r.parseFront(ts, args)
	config, err := r.configure(f, "nginx.conf.tmpl")
	ts.Check(err)
	switch verb {
	case "start":
		ts.Check(r.serve(f, "nginx", "-c", config, "-p", r.work))
	case "reload":
		d := r.daemons[f.Name]
		if d == nil {
			ts.Fatalf("%s is not running", f.Name)
		}
		ts.Check(d.cmd.Process.Signal(syscall.SIGHUP))
		ts.Check(r.logs[f.Name].settle())
	default:
		ts.Fatalf("usage: %s", nginxUsage)
	}
}
