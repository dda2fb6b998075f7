package imagecopy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
)

func TestRequestsThatCannotBeUnderstood(t *testing.T) {
	t.Parallel()
	d := "sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		req  imagecopy.Request
		want string
	}{
		{imagecopy.Request{Source: "a.test/x", Target: "b.test/x"}, `source "a.test/x" names no tag: invalid argument`},
		{imagecopy.Request{Source: "a.test", Target: "b.test/x"}, `source "a.test" names a registry and no repository: invalid argument`},
		{imagecopy.Request{Source: "a.test/x:1", Target: "https://b.test/x"}, `target "https://b.test/x": invalid reference: invalid argument`},
		{imagecopy.Request{Source: "a.test/x:1", Target: "b.test/x@" + d}, `target "b.test/x@` + d + `" names a digest, but the image's own is what it will have: name a tag or none: invalid argument`},
		{imagecopy.Request{Source: "a.test/x@sha256:0", Target: "b.test/x"}, `source "a.test/x@sha256:0": invalid checksum digest length: invalid argument`},
		{imagecopy.Request{Source: "a.test/x:1", Target: "b.test/x", AllTags: true}, `source "a.test/x:1" names one image, and all tags are to be copied: invalid argument`},
		{imagecopy.Request{Source: "a.test/x", Target: "b.test/x:1", AllTags: true}, `target "b.test/x:1" names one tag, and all tags are to be copied: invalid argument`},
		{imagecopy.Request{Source: "a.test/x:1", Target: "b.test/x", Match: regexp.MustCompile("1")}, `tags are selected, but the source names one image: invalid argument`},
		{imagecopy.Request{Source: "a.test/x:1", Target: "a.test/x"}, `source and target are the same, "a.test/x:1": invalid argument`},
		{imagecopy.Request{Source: "a.test/x", Target: "a.test/x", AllTags: true}, `source and target are the same, "a.test/x": invalid argument`},
	} {
		_, err := (&imagecopy.Copier{}).Copy(t.Context(), tt.req)
		if !errdefs.IsInvalidArgument(err) || err.Error() != tt.want {
			t.Errorf("%+v:\n got %v\nwant %s", tt.req, err, tt.want)
		}
	}
	for _, req := range []imagecopy.Request{
		{Source: "a.test/x:1", Target: "b.test/x"},
		{Source: "a.test/x:1@" + d, Target: "b.test/x:2"},
		{Source: "a.test/x@" + d, Target: "b.test/x"},
		{Source: "a.test/x:1", Target: "a.test/x:2"},
		{Source: "a.test/x", Target: "a.test/y", AllTags: true, Match: regexp.MustCompile("1")},
	} {
		if err := req.Validate(); err != nil {
			t.Errorf("%+v: %v", req, err)
		}
	}
}
