// Package bytesize formats numbers of bytes for people.
package bytesize

import "fmt"

var units = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// Of formats a number of bytes with one decimal place.
func Of(n int64) string {
	for _, unit := range units {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// Limit formats a limit, rounded down to whole MiB or KiB.
func Limit(n int64) string {
	for _, unit := range units[1:] {
		if n >= unit.size {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
