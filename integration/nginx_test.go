//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
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
		ts.Check(r.reloadNginx(f.Name))
	default:
		ts.Fatalf("usage: %s", nginxUsage)
	}
}

// leaving is what a worker of nginx writes when it was told to end: it has
// stopped to accept, and closes its idle connections.
const leaving = "gracefully shutting down"

// reloadNginx makes nginx read its configuration again, and waits until no
// worker with the old one takes requests. It may still be busy with one.
func (r *rig) reloadNginx(name string) error {
	d := r.daemons[name]
	if d == nil {
		return fmt.Errorf("%s is not running", name)
	}
	log := filepath.Join(r.work, name+".log")
	left := func() int {
		b, _ := os.ReadFile(log) // It was created when nginx was started.
		return bytes.Count(b, []byte(leaving))
	}
	before := left()
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return d.until(func(context.Context) bool { return left() > before })
}
