package main

import (
	"cmp"
	"runtime/debug"
)

// version is the source version, set by make; empty in other builds.
var version string

// builtFrom returns the source version of this program, as far as it is known.
func builtFrom() string {
	known := version
	if info, ok := debug.ReadBuildInfo(); ok {
		known = cmp.Or(known, info.Main.Version)
	}
	return cmp.Or(known, "(devel)")
}
