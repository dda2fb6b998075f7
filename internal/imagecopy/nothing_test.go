package imagecopy

import (
	"regexp"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNothingToCopy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		match *regexp.Regexp
		tags  int
		want  string
	}{
		{nil, 0, "reg.test/app: the repository has no tags: not found"},
		{regexp.MustCompile("^x"), 0, "reg.test/app: the repository has no tags: not found"},
		{regexp.MustCompile("^x"), 4, `reg.test/app: none of its 4 tags matches "^x": not found`},
	} {
		r := &Request{Source: "reg.test/app", Match: tt.match}
		if err := r.nothing(tt.tags); !errdefs.IsNotFound(err) || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
