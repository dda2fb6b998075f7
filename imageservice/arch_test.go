package imageservice

import (
	"runtime"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// goArch is the architecture of this machine; CRI's package has the name of Go's.
const goArch = runtime.GOARCH

// alsoRuns returns a platform whose images run here, but not as well as the machine's
// own.
func alsoRuns() *v1.Platform {
	for _, p := range []string{"linux/386", "linux/arm/v7"} {
		if p := platforms.MustParse(p); platforms.Default().Match(p) {
			return &v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
		}
	}
	return &v1.Platform{OS: "linux", Architecture: "sparc"} // this machine has none
}
