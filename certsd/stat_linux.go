package certsd

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when the inode last changed. Unlike the modification time it
// cannot be set: it shows a file that was replaced by one of the same age and
// a permission that was granted.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Time{}
}
