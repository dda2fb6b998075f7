package hostname

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ about, in, want string }{
		{"a name is what it is", "registry.example", "registry.example"},
		{"a port stays", "registry.example:5000", "registry.example:5000"},
		{"the default port stays, too", "registry.example:443", "registry.example:443"},
		{"a port loses its zeros", "registry.example:05000", "registry.example:5000"},
		{"letters become small", "Registry.EXAMPLE:5000", "registry.example:5000"},
		{"the dot at the end goes", "registry.example.", "registry.example"},
		{"also before a port", "registry.example.:5000", "registry.example:5000"},
		{"IPv4 is a name", "127.0.0.1:5000", "127.0.0.1:5000"},
		{"IPv6 keeps its brackets", "[::1]", "[::1]"},
		{"IPv6 has one spelling", "[2001:0DB8:0:0::1]:5000", "[2001:db8::1]:5000"},
		{"underscores are met in private names", "my_registry:5000", "my_registry:5000"},
		{"an internationalised name in its xn-- form", "XN--bcher-kva.example", "xn--bcher-kva.example"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical(tt.in)
			if err != nil || got != tt.want {
				t.Errorf("Canonical(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", `host "": is empty`},
		{".", `host ".": has no name`},
		{":5000", `host ":5000": has no name`},
		{"registry.example/app", `host "registry.example/app": contains "/": give the host only, without scheme and path`},
		{"https://registry.example", `host "https://registry.example": contains "/": give the host only, without scheme and path`},
		{"..", `host "..": contains ".."`},
		{"../etc", `host "../etc": contains ".."`},
		{"registry..example", `host "registry..example": contains ".."`},
		{"registry\x00.example", `host "registry\x00.example": contains a NUL byte`},
		{"registry\n.example", `host "registry\n.example": contains a control character`},
		{"registry .example", `host "registry .example": contains a space`},
		{`registry\example`, `host "registry\\example": contains "\"`},
		{"user@registry.example", `host "user@registry.example": contains "@": give the host only, without user or digest`},
		{"bücher.example", `host "bücher.example": contains a character outside ASCII: use its xn-- form`},
		{"registry.example:", `host "registry.example:": port "" is not a number from 1 to 65535`},
		{"registry.example:0", `host "registry.example:0": port "0" is not a number from 1 to 65535`},
		{"registry.example:65536", `host "registry.example:65536": port "65536" is not a number from 1 to 65535`},
		{"registry.example:https", `host "registry.example:https": port "https" is not a number from 1 to 65535`},
		{"registry.example:+5", `host "registry.example:+5": port "+5" is not a number from 1 to 65535`},
		{"::1", `host "::1": an IPv6 address needs brackets, such as [::1]:5000`},
		{"[::1", `host "[::1": "[" without "]"`},
		{"[::1]5000", `host "[::1]5000": unexpected "5000" after the address`},
		{"[::1]:", `host "[::1]:": port "" is not a number from 1 to 65535`},
		{"[127.0.0.1]", `host "[127.0.0.1]": "127.0.0.1" is not an IPv6 address`},
		{"[fe80::1%eth0]:5000", `host "[fe80::1%eth0]:5000": an IPv6 zone cannot be looked up: leave out % and what follows`},
		{"registry.example?ns=x", `host "registry.example?ns=x": contains '?'`},
		{"_default", `host "_default": begins or ends with '_'`},
		{"registry.example_5000_", `host "registry.example_5000_": begins or ends with '_'`},
		{"-registry", `host "-registry": begins or ends with '-'`},
		{strings.Repeat("a", 260), `host "` + strings.Repeat("a", 260) + `": is longer than 259 bytes`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			got, err := Canonical(tt.in)
			if err == nil || err.Error() != tt.want {
				t.Errorf("Canonical(%q) = %q, %v\nwant error %s", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestIsLocalhost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:5000"} {
		if !IsLocalhost(host) {
			t.Errorf("%s is not taken for this machine", host)
		}
	}
	for _, host := range []string{"localhost.example", "128.0.0.1", "[::2]", "registry"} {
		if IsLocalhost(host) {
			t.Errorf("%s is taken for this machine", host)
		}
	}
}
