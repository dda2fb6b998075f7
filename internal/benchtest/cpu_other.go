//go:build !unix

package benchtest

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
