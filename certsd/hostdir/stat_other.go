//go:build !linux

package hostdir

import (
	"io/fs"
	"time"
)

// changeTime is not known on this system.
func changeTime(fs.FileInfo) time.Time { return time.Time{} }

// matchesNow is not supported on this system.
func (s *stamp) matchesNow() (same, known bool) { return false, false }
