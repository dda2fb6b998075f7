package hostname

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSuffixPlaces(t *testing.T) {
	t.Parallel()
	type place struct {
		Suffix string
		Names  []string
	}
	for registry, want := range map[string][]place{
		"a.b.example": {
			{"_.b.example", []string{"_.b.example", "_.b.example_443_", "_.b.example:443"}},
			{"_.example", []string{"_.example", "_.example_443_", "_.example:443"}},
		},
		"a.example:5000": {{"_.example:5000", []string{"_.example_5000_", "_.example:5000"}}},
		"a.example:443":  {{"_.example:443", []string{"_.example_443_", "_.example:443", "_.example"}}},
		"localhost":      nil,
		"localhost:5000": nil,
		"10.1.2.3":       nil,
		"10.1.2.3:5000":  nil,
		"[::1]:5000":     nil,
		"1.2.3.4.5":      {{"_.2.3.4.5", nil}, {"_.3.4.5", nil}, {"_.4.5", nil}, {"_.5", nil}},
	} {
		var got []place
		for _, p := range SuffixPlaces(registry) {
			if p.Registry != "" {
				t.Errorf("%s: %s is said to be a registry's", registry, p.Suffix)
			}
			names := p.Names
			if registry == "1.2.3.4.5" {
				names = nil
			}
			got = append(got, place{p.Suffix, names})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", registry, diff)
		}
	}
}

func TestOfSuffixDirectory(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"_.example.com":       "_.example.com",
		"_.Example.COM.":      "_.example.com",
		"_.example.com_5000_": "_.example.com:5000",
		"_.example.com:5000":  "_.example.com:5000",
		"_.internal":          "_.internal",
		"_.":                  "",
		"_..example.com":      "",
		"_._.example.com":     "",
		"_.10.1.2.3":          "",
		"_.[::1]":             "",
		"_default":            "",
		"example.com":         "",
		"*.example.com":       "",
	} {
		if got, ok := OfSuffixDirectory(dir); got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %t", dir, got, ok)
		}
		if registry, err := OfDirectory(dir); err == nil && want != "" {
			t.Errorf("%s is a registry's, %s", dir, registry)
		}
	}
}
