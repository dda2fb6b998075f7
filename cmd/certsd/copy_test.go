package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestWrongUsageOfCopy(t *testing.T) {
	t.Parallel()
	zeros := "@sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"a.test/x:1"}, "copy takes SRC and DST, not 1 arguments"},
		{[]string{"a.test/x:1", "b.test/x", "c.test/x"}, "copy takes SRC and DST, not 3 arguments"},
		{[]string{"a.test/X:1", "b.test/x"}, `"a.test/X:1" is not an image reference`},
		{[]string{"a.test/x:1", "b.test/x" + zeros}, "names a digest, but the image's own is what it will have: name a tag or none"},
		{[]string{"--all-tags", "a.test/x:1", "b.test/x"}, `"a.test/x:1" is not an image reference: a repository is wanted, without tag and digest`},
		{[]string{"--all-tags", "a.test/x", "b.test/x:1"}, `"b.test/x:1" is not an image reference: a repository is wanted, without tag and digest`},
		{[]string{"--tags-matching", "1", "a.test/x" + zeros, "b.test/x"}, "a repository is wanted, without tag and digest"},
		{[]string{"--tags-matching", "(", "a.test/x", "b.test/x"}, "--tags-matching: error parsing regexp"},
		{[]string{"--platform", "a/b/c/d", "a.test/x:1", "b.test/x"}, "--platform: "},
		{[]string{"--jobs", "0", "a.test/x:1", "b.test/x"}, "0 is less than 1"},
		{[]string{"--cache-size", "-1", "a.test/x:1", "b.test/x"}, "-1 is less than 1"},
		{[]string{"a.test/x:1", "a.test/x"}, `source and target are the same, "a.test/x:1"`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd", "copy"}, tt.args...), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q: exit code %d:\n%s", tt.args, code, &errs)
		}
	}
}
