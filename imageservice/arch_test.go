package imageservice

import "runtime"

// goArch is the architecture of this machine; CRI's package has the name of Go's.
const goArch = runtime.GOARCH
