//go:build linux

package integration

import "github.com/rogpeppe/go-internal/testscript"

const apacheUsage = "apache start NAME [verify=require|optional|optional_no_ca|none] [allow=CN,...] " +
	"[upstream=ADDR | root=DIR [cgi=DIR]] [include=FILE], or apache stop NAME"

// apacheCmd runs Debian's Apache on port 443 of NAME, in front of
// docker-registry or with a directory of files.
func (r *rig) apacheCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, apacheUsage)
	if len(args) < 2 {
		ts.Fatalf("usage: %s", apacheUsage)
	}
	switch args[0] {
	case "start":
		f := r.parseFront(ts, args[1:])
		config, err := r.configure(f, "apache.conf.tmpl")
		ts.Check(err)
		ts.Check(r.serve(f, "apache2", "-f", config, "-DFOREGROUND"))
	case "stop":
		ts.Check(r.stop(args[1]))
	default:
		ts.Fatalf("usage: %s", apacheUsage)
	}
}
