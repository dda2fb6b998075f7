package hostdir

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		"":                                   `"" does not name a directory`,
		string(filepath.ListSeparator):       `"` + string(filepath.ListSeparator) + `" does not name a directory`,
		"certs.d":                            `"certs.d" is not an absolute path`,
		abs + string(filepath.ListSeparator) + "~/certs.d": `"` + filepath.Join("~", "certs.d") + `" is not an absolute path`,
	} {
		if err := CheckRoots(list); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: got %v, want %s", list, err, want)
		}
	}
}

func TestPodmanRoots(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		goos string
		env  map[string]string
		want []string
	}{
		{"linux", map[string]string{"HOME": "/root", "XDG_CONFIG_HOME": "/x"}, []string{"/root/.config/containers/certs.d", "/etc/containers/certs.d"}},
		{"linux", map[string]string{"HOME": "relative"}, []string{"/etc/containers/certs.d"}},
		{"linux", nil, []string{"/etc/containers/certs.d"}},
		{"windows", map[string]string{"HOME": "/root"}, nil},
	} {
		got := podmanRoots(tt.goos, func(name string) string { return tt.env[name] })
		if diff := cmp.Diff(tt.want, []string(got)); diff != "" {
			t.Errorf("roots (-want +got):\n%s", diff)
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
		{
			"Windows has them where programs have theirs", "windows", -1,
			map[string]string{"ProgramFiles": "/programs", "ProgramData": "/data", "HOME": "/home/u"},
			[]string{"/programs/containerd/certs.d", "/data/docker/certs.d"},
		},
		{"a Windows that says nothing has none", "windows", -1, nil, nil},
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
