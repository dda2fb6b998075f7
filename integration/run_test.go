//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// runCmd runs a container and prints what it prints: run IMAGE
//
// The output takes the way over a file, which the shim completes before the
// container is deleted. ctr's own copying is cut short now and then where a
// container ends at once.
func (r *rig) runCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "run IMAGE")
	if len(args) != 1 {
		ts.Fatalf("usage: run IMAGE")
	}
	r.containers++
	id := fmt.Sprintf("container-%d", r.containers)
	file := filepath.Join(r.work, id+".out")
	ts.Check(ts.Exec("ctr", "run", "--rm", "--log-uri", "file://"+file, args[0], id))
	out, err := os.ReadFile(file)
	ts.Check(err)
	_, err = ts.Stdout().Write(out)
	ts.Check(err)
}
