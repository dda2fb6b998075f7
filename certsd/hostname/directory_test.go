package hostname

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDirectories(t *testing.T) {
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
			if diff := cmp.Diff(tt.want, directories(tt.goos, canonical)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLooksLike(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"reg-5000", "REG:5000", "reg_5000", "reg.:5000", "https:__reg_5000", "http:reg:5000"} {
		if !LooksLike(dir, "reg:5000") {
			t.Errorf("%s is not taken for reg:5000", dir)
		}
	}
	for _, dir := range []string{"reg", "reg:5001", "my-reg:5000", "_default", ""} {
		if LooksLike(dir, "reg:5000") {
			t.Errorf("%s is taken for reg:5000", dir)
		}
	}
}

func TestToCreate(t *testing.T) {
	t.Parallel()
	for registry, want := range map[string]string{
		"reg.test": "reg.test", "reg.test:443": "reg.test", "reg.test:5000": "reg.test_5000_", "[::1]:5000": "[::1]_5000_",
	} {
		if got := ToCreate(registry); got != want {
			t.Errorf("%s: %s, not %s", registry, got, want)
		}
		if name, err := OfDirectory(ToCreate(registry)); err != nil || SpellingKey(name) != SpellingKey(registry) {
			t.Errorf("%s is read as %s: %v", ToCreate(registry), name, err)
		}
	}
}

func TestUnclosed(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"reg.test_5000": "reg.test_5000_", "reg.test_5000_": "", "reg.test": "", "reg.test:_5000": "", "reg.test_5x": "",
	} {
		if got, is := Unclosed(dir); got != want || is != (want != "") {
			t.Errorf("%s: %q, %t", dir, got, is)
		}
	}
}
