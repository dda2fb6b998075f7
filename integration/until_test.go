//go:build linux

package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// untilCmd waits for a line that a server writes in its own time: until FILE
// PATTERN. A log tells nobody that it grew, so it is looked at again and
// again, for readyTime at most. FILE may be a pattern of names.
func (r *rig) untilCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "until FILE PATTERN"
	noNeg(ts, neg, usage)
	if len(args) != 2 {
		ts.Fatalf("usage: %s", usage)
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	ts.Check(within(func(timeout <-chan time.Time) bool {
		tick := time.NewTicker(pollInterval)
		defer tick.Stop()
		for {
			files, _ := filepath.Glob(ts.MkAbs(args[0]))
			for _, file := range files {
				if b, err := os.ReadFile(file); err == nil && pattern.Match(b) {
					return true
				}
			}
			select {
			case <-timeout:
				return false
			case <-tick.C:
			}
		}
	}, args[0]+" has no line like "+args[1]))
}
