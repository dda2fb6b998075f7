package main

import (
	"strings"
	"testing"
)

// A value that cannot be parsed is reported without words of package strconv.
func TestFlagValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"copy", "--jobs", "x", "a.test/b:1", "c.test/d:1"}, `certsd: --jobs: "x" is not a number`},
		{[]string{"copy", "-j", "1.5", "a.test/b:1", "c.test/d:1"}, `certsd: -j: "1.5" is not a number`},
		{[]string{"copy", "--jobs", "99999999999999999999", "a.test/b:1", "c.test/d:1"}, `certsd: --jobs: "99999999999999999999" is too large or too small`},
		{[]string{"copy", "--quiet=maybe", "a.test/b:1", "c.test/d:1"}, `certsd: --quiet: "maybe" is neither true nor false`},
		{[]string{"copy", "--jobs", "0", "a.test/b:1", "c.test/d:1"}, "0 is less than 1"},
	} {
		var out, said strings.Builder
		if code := run(t.Context(), append([]string{"certsd"}, tt.args...), &out, &said); code != exitUsage || !strings.Contains(said.String(), tt.want) || strings.Contains(said.String(), "strconv") {
			t.Errorf("%q: exit code %d: %s", tt.args, code, said.String())
		}
	}
}
