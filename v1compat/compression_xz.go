package v1compat

import (
	"io"

	"github.com/ulikunitz/xz"
)

// newXZReader reads xz in this process: Docker's use of the program was a way
// to run code as root (CVE-2014-9357).
func newXZReader(r io.Reader) (io.Reader, error) {
	return xz.NewReader(r)
}
