package imagecopy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCopier copies between registries behind client certificates.
func newCopier(t *testing.T, registries ...*registry) *imagecopy.Copier {
	t.Helper()
	root := t.TempDir()
	for _, r := range registries {
		r.dir(t, root)
	}
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}}
	t.Cleanup(hosts.CloseIdleConnections)
	return &imagecopy.Copier{Hosts: hosts}
}

// copied is a copy that must succeed.
func copied(t *testing.T, c *imagecopy.Copier, req imagecopy.Request) *imagecopy.Summary {
	t.Helper()
	s, err := c.Copy(t.Context(), req)
	ok(t, err)
	for _, i := range s.Items {
		if i.Err != nil {
			t.Errorf("%s: %v", i.Name, i.Err)
		}
	}
	return s
}

// fillSource makes a repository with an image, another one that shares a layer,
// and an index with an attestation, for two platforms.
func fillSource(r *registry) map[string]digest.Digest {
	one := r.addImage("app", "1", "base", "one")
	r.addImage("app", "2", "base", "two")
	r.addManifest("app", "1-again", ocispec.MediaTypeImageManifest, nil)
	r.repos["app"].tags["1-again"] = one.Digest
	amd64 := r.addImage("app", "", "base", "amd64")
	amd64.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	arm64 := r.addImage("app", "", "arm64")
	arm64.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	attestation := r.addImage("app", "", "attestation")
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	r.addIndex("app", "multi", amd64, arm64, attestation)
	return r.tagged("app")
}

func TestAllTagsAreCopiedEachLayerOnce(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	want := fillSource(source)
	c := newCopier(t, source, target)
	req := imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/team/app", AllTags: true}

	s := copied(t, c, req)
	if diff := cmp.Diff(want, target.tagged("team/app")); diff != "" {
		t.Errorf("tags (-source +target):\n%s", diff)
	}
	for tag := range want {
		ok(t, target.whole("team/app", tag))
	}
	blobs := len(source.repos["app"].blobs)
	if got := s.Counts; got.Sent != blobs || got.Present+got.Mounted > 0 {
		t.Errorf("%+v of %d blobs", got, blobs)
	}
	requests := target.log()
	if puts := count(requests, "PUT", "/blobs/"); puts != blobs {
		t.Errorf("%d uploads of %d blobs", puts, blobs)
	}
	if gets := count(source.log(), "GET", "/blobs/"); gets != blobs {
		t.Errorf("%d downloads of %d blobs", gets, blobs)
	}

	again := copied(t, c, req)
	if n := again.Count(imagecopy.Identical); n != len(want) || again.Counts != (imagecopy.Counts{}) {
		t.Errorf("the second time %d of %d are identical; %+v", n, len(want), again.Counts)
	}
	for _, line := range target.log() {
		if !strings.HasPrefix(line, "HEAD ") {
			t.Errorf("the second time: %s", line)
		}
	}
}

// TestOneImage: what a reference leads to, and where it goes.
func TestOneImage(t *testing.T) {
	t.Parallel()
	source := newRegistry(t)
	tags := fillSource(source)
	arm64 := &platforms.Platform{OS: "linux", Architecture: "arm64"}
	for name, row := range map[string]struct {
		source, target string
		platform       *platforms.Platform
		tag            string
		// want is what is copied, if it is not the image of the platform.
		want digest.Digest
		err  string
	}{
		"a tag":                         {source: ":1", tag: "1", want: tags["1"]},
		"a tag, renamed":                {source: ":1", target: ":one", tag: "one", want: tags["1"]},
		"a digest":                      {source: "@" + tags["2"].String(), want: tags["2"]},
		"a digest, with a tag":          {source: "@" + tags["2"].String(), target: ":two", tag: "two", want: tags["2"]},
		"a tag with a digest":           {source: ":1@" + tags["2"].String(), tag: "1", want: tags["2"]},
		"all platforms":                 {source: ":multi", tag: "multi", want: tags["multi"]},
		"a platform":                    {source: ":multi", platform: arm64, tag: "multi"},
		"a platform that is not there":  {source: ":multi", platform: &platforms.Platform{OS: "linux", Architecture: "s390x"}, err: ": no image for linux/s390x among its 3: not found"},
		"a platform of one image alone": {source: ":1", platform: arm64, tag: "1", want: tags["1"]},
		"what is not there":             {source: ":none", err: ":none: not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newRegistry(t)
			s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{
				Source: source.Host + "/app" + row.source, Target: target.Host + "/new" + row.target, Platform: row.platform,
			})
			ok(t, err)
			item := s.Items[0]
			if row.err != "" {
				if item.Err == nil || !strings.Contains(item.Err.Error(), row.err) {
					t.Errorf("got %v", item.Err)
				}
				return
			}
			ok(t, item.Err)
			if row.want != "" && item.Digest != row.want {
				t.Errorf("%s, want %s", item.Digest, row.want)
			}
			if _, there := target.repos["new"].manifests[item.Digest]; !there {
				t.Error("it is not there")
			}
			if row.tag == "" {
				if n := len(target.tagged("new")); n > 0 {
					t.Errorf("%d tags", n)
				}
				return
			}
			if got := target.tagged("new"); len(got) != 1 || got[row.tag] != item.Digest {
				t.Errorf("tags %v", got)
			}
			ok(t, target.whole("new", row.tag))
			if row.platform == arm64 && row.want == "" && len(target.repos["new"].blobs) != 2 {
				t.Errorf("%d blobs, want those of one platform", len(target.repos["new"].blobs))
			}
		})
	}
}

// TestDryRun counts what would be sent, once, and sends nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	fillSource(source)
	target.addImage("app", "1", "another")
	target.addBlob("app", "", layerData("base"))
	c := newCopier(t, source, target)
	req := imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true, DryRun: true}
	before := target.tagged("app")
	dry := copied(t, c, req)
	if diff := cmp.Diff(before, target.tagged("app")); diff != "" {
		t.Errorf("tags (-before +after):\n%s", diff)
	}
	for _, line := range target.log() {
		if !strings.HasPrefix(line, "HEAD ") {
			t.Error(line)
		}
	}
	if n := count(source.log(), "GET", "/blobs/"); n > 0 {
		t.Errorf("%d blobs were fetched", n)
	}
	if dry.Items[0].Replaces != before["1"] {
		t.Errorf("tag 1 replaces %q", dry.Items[0].Replaces)
	}
	req.DryRun = false
	if done := copied(t, c, req); done.Counts != dry.Counts {
		t.Errorf("told %+v, did %+v", dry.Counts, done.Counts)
	}
}

// TestInterruptedCopy: what is not begun says so, and the copy ends.
func TestInterruptedCopy(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	want := fillSource(source)
	c := newCopier(t, source, target)
	c.Tags = 1
	ctx, interrupt := context.WithCancel(t.Context())
	c.Hooks.OnItem = func(imagecopy.Item) { interrupt() }
	req := imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true}
	s, err := c.Copy(ctx, req)
	ok(t, err)
	for i, item := range s.Items {
		if i == 0 && item.State != imagecopy.Copied || i > 0 && !errors.Is(item.Err, context.Canceled) {
			t.Errorf("%s: %s %v", item.Name, item.State, item.Err)
		}
	}
	c.Hooks.OnItem = nil
	copied(t, c, req)
	if diff := cmp.Diff(want, target.tagged("app")); diff != "" {
		t.Errorf("then (-source +target):\n%s", diff)
	}
}

func TestTagsThatCannotBeListed(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	fillSource(source)
	c := newCopier(t, source, target)
	for want, req := range map[string]imagecopy.Request{
		"answers 404 Not Found for the list of tags":       {Source: source.Host + "/none"},
		`/app: none of its 4 tags matches "^x": not found`: {Source: source.Host + "/app", Match: regexp.MustCompile("^x")},
	} {
		req.Target, req.AllTags = target.Host+"/app", true
		if s, err := c.Copy(t.Context(), req); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestCutAtEveryRequest has the target fail from each request on: whatever tag
// is there is whole, and the next copy completes it.
func TestCutAtEveryRequest(t *testing.T) {
	t.Parallel()
	source := newRegistry(t)
	amd64 := source.addImage("app", "amd64", "base", "one")
	source.addIndex("app", "multi", amd64, source.addImage("app", "", "base"))
	req := func(target *registry) imagecopy.Request {
		return imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true}
	}
	target := newRegistry(t)
	copied(t, newCopier(t, source, target), req(target))
	requests := len(target.log())
	for n := range requests {
		for name, status := range map[string]int{"an error": http.StatusInternalServerError, "a cut connection": cut} {
			t.Run(fmt.Sprintf("%s from request %d on", name, n+1), func(t *testing.T) {
				t.Parallel()
				target := newRegistry(t)
				c := newCopier(t, source, target)
				c.Blobs, c.Tags = 2, 2
				target.setFail(func(i int, _ *http.Request) int {
					if i <= n {
						return 0
					}
					return status
				})
				s, err := c.Copy(t.Context(), req(target))
				ok(t, err)
				// How many requests it takes depends on which tag is first: it may
				// be done before the one that fails. No failure is told only then.
				if s.Count(imagecopy.Failed) == 0 {
					if diff := cmp.Diff(source.tagged("app"), target.tagged("app")); diff != "" {
						t.Errorf("no failure is told (-source +target):\n%s", diff)
					}
				}
				for tag := range target.tagged("app") {
					if err := target.whole("app", tag); err != nil {
						t.Errorf("%s: %v", tag, err)
					}
				}
				target.setFail(nil)
				copied(t, c, req(target))
				if diff := cmp.Diff(source.tagged("app"), target.tagged("app")); diff != "" {
					t.Errorf("then (-source +target):\n%s", diff)
				}
			})
		}
	}
}

// TestSourceThatFails has the source fail from each request on, in the same
// way.
func TestSourceThatFails(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	amd64 := source.addImage("app", "amd64", "base", "one")
	source.addIndex("app", "multi", amd64, source.addImage("app", "", "base"))
	c := newCopier(t, source, target)
	c.Blobs, c.Tags = 1, 1
	req := imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true}
	for n := 1; ; n++ {
		failed := false
		source.setFail(func(i int, _ *http.Request) int {
			if i <= n {
				return 0
			}
			failed = true
			return http.StatusForbidden
		})
		target.mu.Lock()
		target.repos = map[string]*repo{}
		target.mu.Unlock()
		s, err := c.Copy(t.Context(), req)
		ok(t, err)
		for tag := range target.tagged("app") {
			if err := target.whole("app", tag); err != nil {
				t.Errorf("failing from request %d on: %s: %v", n+1, tag, err)
			}
		}
		if !failed {
			break
		}
		if s.Count(imagecopy.Failed) == 0 {
			t.Errorf("failing from request %d on: no failure is told", n+1)
		}
	}
	if diff := cmp.Diff(source.tagged("app"), target.tagged("app")); diff != "" {
		t.Errorf("at last (-source +target):\n%s", diff)
	}
}
