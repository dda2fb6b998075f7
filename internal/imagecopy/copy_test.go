package imagecopy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

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
				if s.Count(imagecopy.Failed) == 0 {
					t.Error("no failure is told")
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
