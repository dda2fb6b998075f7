package v1compat

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// validID accepts what Docker has accepted since 1.3.3: 64 lower-case hex digits.
// Every id is checked here before it is used in a URL or a path (CVE-2014-9358).
func validID(id string) error {
	if len(id) != 64 || !all(id, hexByte) {
		return fmt.Errorf("%s is not an image id (64 lower-case hex digits)", strconv.Quote(clip(id)))
	}
	return nil
}

// validTag accepts the tags of Docker's reference grammar.
func validTag(tag string) error {
	first := func(b byte) bool { return alnum(b) || b == '_' }
	rest := func(b byte) bool { return first(b) || b == '.' || b == '-' }
	if tag == "" || len(tag) > 128 || !first(tag[0]) || !all(tag, rest) {
		return fmt.Errorf("%q is not a tag: %w", clip(tag), errdefs.ErrInvalidArgument)
	}
	return nil
}

// validRepository accepts slash-separated components of letters, digits and "._-".
// Old registries allowed more than Docker's grammar of today, so only what could
// change the meaning of a URL is refused.
func validRepository(name string) error {
	ok := len(name) <= 255
	for part := range strings.SplitSeq(name, "/") {
		ok = ok && part != "" && strings.Trim(part, ".") != "" && all(part, hostByte)
	}
	if !ok {
		return fmt.Errorf("%q is not a repository: %w", clip(name), errdefs.ErrInvalidArgument)
	}
	return nil
}

func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func alnum(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}

func hexByte(b byte) bool { return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' }

// clip shortens a server's text for an error message.
func clip(s string) string { return safetext.Clip(s, 80) }
