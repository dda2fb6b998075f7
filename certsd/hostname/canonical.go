// Package hostname defines the names of registries, and the only grammar of the names
// of their directories. Nothing here accesses a disk.
//
// A name becomes canonical once, where it enters ([Canonical]); from there on only
// canonical names are compared. Read canonical.go first, then directory.go, the names
// that a directory may have in a certs.d root, with suffix.go, the names of directories
// that serve every host below a domain. origin.go decides whether two URLs belong to
// one server.
package hostname

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the length of the longest host[:port] that is looked up: 253
// bytes of DNS name (RFC 1035, 2.3.4), a colon and five digits.
const maxHost = 253 + 1 + 5

// Canonical returns the one spelling of a host or host:port under which it is looked
// up: lower case, no trailing dot, an IPv6 address in brackets and in its shortest
// form, a port without leading zeros. An explicit default port stays: [PlaceOf] returns
// the directories that serve both spellings.
//
// A name that could leave its root directory, or that cannot be a registry's address,
// is an error that names the cause.
func Canonical(host string) (string, error) {
	name, port, err := Split(host)
	if err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	return joinHost(host, name, port), nil
}

// joinHost returns name:port, or name without a port. It returns host itself if it is
// already spelt that way, as it nearly always is, to save an allocation.
func joinHost(host, name, port string) string {
	switch {
	case port == "":
		return name
	case len(host) == len(name)+1+len(port) && strings.HasPrefix(host, name) && strings.HasSuffix(host, port):
		return host
	}
	return name + ":" + port
}

// Split checks host and returns its canonical name, with an IPv6 address in brackets,
// and its port, empty for none. The error says what is wrong and leaves naming the host
// to the caller.
func Split(host string) (name, port string, err error) {
	if err := checkBytes(host); err != nil {
		return "", "", err
	}
	name = host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", "", errors.New(`"[" without "]"`)
		}
		name = host[:end+1]
		rest := host[end+1:]
		if rest != "" && rest[0] != ':' {
			return "", "", fmt.Errorf("unexpected %q after the address", rest)
		}
		if rest != "" {
			if port, err = canonicalPort(rest[1:]); err != nil {
				return "", "", err
			}
		}
		name, err = canonicalIPv6(name[1:end])
		return name, port, err
	}
	switch strings.Count(host, ":") {
	case 0:
	case 1:
		var digits string
		name, digits, _ = strings.Cut(host, ":")
		if port, err = canonicalPort(digits); err != nil {
			return "", "", err
		}
	default:
		return "", "", errors.New("an IPv6 address needs brackets, such as [::1]:5000")
	}
	name, err = canonicalName(name)
	return name, port, err
}

// checkBytes refuses what no part of a host may contain. The messages spell characters
// out because some cannot be printed.
func checkBytes(host string) error {
	if host == "" {
		return errors.New("is empty")
	}
	if len(host) > maxHost {
		return fmt.Errorf("is longer than %d bytes", maxHost)
	}
	if strings.Contains(host, "..") {
		return errors.New(`contains ".."`)
	}
	for _, r := range host {
		switch {
		case r == 0:
			return errors.New("contains a NUL byte")
		case r < ' ' || r == 0x7f:
			return errors.New("contains a control character")
		case r == ' ':
			return errors.New("contains a space")
		case r == '/':
			return errors.New(`contains "/": give the host only, without scheme and path`)
		case r == '\\':
			return errors.New(`contains "\"`)
		case r == '@':
			return errors.New(`contains "@": give the host only, without user or digest`)
		case r > 0x7f:
			return errors.New("contains a character outside ASCII: use its xn-- form")
		}
	}
	return nil
}

func canonicalName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" {
		return "", errors.New("has no name")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return "", fmt.Errorf("contains %q", c)
		}
	}
	// A name must not spell a directory with another meaning: "_default", or
	// "registry.example_5000_", which has a port.
	for _, c := range []byte{name[0], name[len(name)-1]} {
		if c == '_' || c == '.' || c == '-' {
			return "", fmt.Errorf("begins or ends with %q", c)
		}
	}
	return name, nil
}

func canonicalIPv6(text string) (string, error) {
	if strings.Contains(text, "%") {
		return "", errors.New("an IPv6 zone cannot be looked up: leave out % and what follows")
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() {
		return "", fmt.Errorf("%q is not an IPv6 address", text)
	}
	return "[" + addr.String() + "]", nil
}

func canonicalPort(digits string) (string, error) {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", fmt.Errorf("port %q is not a number from 1 to 65535", digits)
	}
	if digits[0] != '0' {
		return digits, nil
	}
	return strconv.FormatUint(n, 10), nil
}

// IsLocalhost reports whether a canonical host is this machine, by the same rule
// as containerd's docker.MatchLocalhost.
func IsLocalhost(canonical string) bool {
	name, _, err := Split(canonical)
	if err != nil {
		return false
	}
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && addr.IsLoopback()
}
