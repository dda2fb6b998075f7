package imageservice

import (
	"net/http"
	"strings"
	"testing"
)

func TestWantedRange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header   string
		size     int64
		from, to int64
	}{
		{"", 10, 0, 10},
		{"bytes=0-", 10, 0, 10},
		{"bytes=3-", 10, 3, 10},
		{"bytes=3-4", 10, 3, 5},
		{"bytes=0-9", 10, 0, 10},
		{"bytes=0-0", 10, 0, 1},
		{"bytes=9-", 10, 9, 10},
		{"bytes=3-99", 10, 3, 10},
		{"bytes=10-", 10, 0, 10},
		{"bytes=4-3", 10, 0, 10},
		{"bytes=-3", 10, 0, 10},
		{"bytes=1-2,4-5", 10, 0, 10},
		{"bytes= 1-2", 10, 0, 10},
		{"BYTES=1-2", 10, 0, 10},
		{"bytes=1-2\n", 10, 0, 10},
		{"bytes=999999999999999999-", 10, 0, 10},
		{"bytes=1-99999999999999999999", 10, 0, 10},
		{"bytes=0-", 0, 0, 0},
		{"bytes=0-0", 0, 0, 0},
	} {
		from, to := wantedRange(http.Header{"Range": {tt.header}}, tt.size)
		if from != tt.from || to != tt.to {
			t.Errorf("%q of %d: %d to %d, want %d to %d", tt.header, tt.size, from, to, tt.from, tt.to)
		}
	}
}

// FuzzWantedRange never leaves the blob, and is the whole of it for what is no range.
func FuzzWantedRange(f *testing.F) {
	f.Add("bytes=1-2", int64(10))
	f.Add("bytes=5-", int64(10))
	f.Add("bytes=-5", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return // the manifest would not have been read
		}
		from, to := wantedRange(http.Header{"Range": {header}}, size)
		if from < 0 || from > to || to > size || size > 0 && from == to {
			t.Errorf("%q of %d: %d to %d", header, size, from, to)
		}
		if !strings.HasPrefix(header, "bytes=") && (from != 0 || to != size) {
			t.Errorf("%q of %d: %d to %d is not the whole", header, size, from, to)
		}
	})
}
