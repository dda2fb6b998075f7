package certsd

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestDirNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about, goos, given string
		want               []string
	}{
		{"a port has two spellings", "linux", "reg:5000", []string{"reg_5000_", "reg:5000"}},
		{"the default port may be left out", "linux", "reg:443", []string{"reg_443_", "reg:443", "reg"}},
		{"and may be written", "linux", "reg", []string{"reg", "reg_443_", "reg:443"}},
		{"another spelling is no other name", "linux", "Reg.:5000", []string{"reg_5000_", "reg:5000"}},
		{"an address has brackets", "linux", "[::1]:5000", []string{"[::1]_5000_", "[::1]:5000"}},
		{"an address without port", "linux", "[::1]", []string{"[::1]", "[::1]_443_", "[::1]:443"}},
		{
			"an address in another spelling", "linux", "[0::1]:5000",
			[]string{"[::1]_5000_", "[::1]:5000"},
		},
		{"Windows has no colons", "windows", "reg:5000", []string{"reg_5000_", "reg5000"}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			canonical, err := Canonical(tt.given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, dirNames(tt.goos, canonical)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsLocalhost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:5000"} {
		if !isLocalhost(host) {
			t.Errorf("%s is not taken for this machine", host)
		}
	}
	for _, host := range []string{"localhost.example", "128.0.0.1", "[::2]", "registry"} {
		if isLocalhost(host) {
			t.Errorf("%s is taken for this machine", host)
		}
	}
}

func TestParseRoots(t *testing.T) {
	t.Parallel()
	a, b := filepath.FromSlash("/etc/containerd/certs.d"), filepath.FromSlash("/etc/docker/certs.d")
	got := ParseRoots(strings.Join([]string{a, b + string(filepath.Separator), "", a}, string(filepath.ListSeparator)))
	want := Roots{a, b}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	if got := ParseRoots(got.String()); !slices.Equal(got, want) {
		t.Errorf("the list of the roots gives %q again, want %q", got, want)
	}
	if got := ParseRoots(""); len(got) != 0 {
		t.Errorf("no list gives %q", got)
	}
}

func TestCheckRoots(t *testing.T) {
	t.Parallel()
	abs := t.TempDir()
	for list, want := range map[string]string{
		abs:                                  "",
		abs + string(filepath.ListSeparator): "",
		"":                                   `"" names no directory`,
		string(filepath.ListSeparator):       `"` + string(filepath.ListSeparator) + `" names no directory`,
		"certs.d":                            `"certs.d" is not an absolute path`,
		abs + string(filepath.ListSeparator) + "~/certs.d": `"` + filepath.Join("~", "certs.d") + `" is not an absolute path`,
	} {
		if err := CheckRoots(list); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: got %v, want %s", list, err, want)
		}
	}
}

func TestDefaultRoots(t *testing.T) {
	t.Parallel()
	system := []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}
	for _, tt := range []struct {
		about string
		goos  string
		euid  int
		env   map[string]string
		want  []string
	}{
		{"root has the system's", "linux", 0, map[string]string{"HOME": "/root", "XDG_CONFIG_HOME": "/x"}, system},
		{
			"a user's own come first", "linux", 1000,
			map[string]string{"HOME": "/home/u"},
			append([]string{"/home/u/.config/containerd/certs.d", "/home/u/.config/docker/certs.d"}, system...),
		},
		{
			"a user may have another directory", "linux", 1000,
			map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "/conf"},
			append([]string{"/conf/containerd/certs.d", "/conf/docker/certs.d"}, system...),
		},
		{
			"a relative one counts as none", "linux", 1000,
			map[string]string{"HOME": "/home/u", "XDG_CONFIG_HOME": "conf"},
			append([]string{"/home/u/.config/containerd/certs.d", "/home/u/.config/docker/certs.d"}, system...),
		},
		{"a user without a home has the system's", "linux", 1000, nil, system},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			got := defaultRoots(tt.goos, tt.euid, func(name string) string { return tt.env[name] })
			if diff := cmp.Diff(tt.want, []string(got)); diff != "" {
				t.Errorf("roots (-want +got):\n%s", diff)
			}
		})
	}
}
