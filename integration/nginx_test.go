//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

const nginxUsage = "nginx start|reload NAME [verify=on|optional|optional_no_ca|off] [allow=CN,...] " +
	"[deny=STATUS] [upstream=ADDR] [include=FILE] [pair=FILE], or nginx stop NAME"

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

// leaving is what a worker of nginx writes when it was told to end: it stops to
// accept, and closes its idle connections.
var leaving = regexp.MustCompile(`(\d+)#\d+: gracefully shutting down`)

// reloadNginx makes nginx read its configuration again, and waits until the
// worker with the old one takes no more requests. It may still be busy with one.
func (r *rig) reloadNginx(name string) error {
	d := r.daemons[name]
	if d == nil {
		return fmt.Errorf("%s is not running", name)
	}
	log := filepath.Join(r.work, name+".log")
	left := func() [][][]byte {
		b, _ := os.ReadFile(log) // It was created when nginx was started.
		return leaving.FindAllSubmatch(b, -1)
	}
	before := len(left())
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return d.until(func(context.Context) bool {
		workers := left()
		return len(workers) > before && idle(string(workers[len(workers)-1][1]))
	})
}

// idle reports whether a process has ended or waits for something to happen.
func idle(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	// The state follows the name: "20 (nginx) S 19 ...".
	return err != nil || bytes.Contains(stat, []byte(") S ")) || bytes.Contains(stat, []byte(") Z "))
}
