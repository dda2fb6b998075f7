package main

import (
	"cmp"
	"runtime/debug"
)

// version is the source that make has built, empty where something else has.
var version string

// builtFrom says which source this program is made of, as far as it is known.
func builtFrom() string {
	known := version
	if info, ok := debug.ReadBuildInfo(); ok {
		known = cmp.Or(known, info.Main.Version)
	}
	return cmp.Or(known, "(devel)")
}
