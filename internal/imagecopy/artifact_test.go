package imagecopy_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/resolver"
)

const artifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

// TestArtifacts: what a manifest has for layers and configuration are blobs of
// whatever type, empty ones too, and OCI's old artifacts are manifests.
func TestArtifacts(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	image := source.addImage("app", "", "a")
	inner := source.repos["app"].manifests[image.Digest].body
	bundle := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: source.addBlob("app", artifactManifest, []byte("{}"))}
	bundle.Layers = []ocispec.Descriptor{
		source.addBlob("app", ocispec.MediaTypeImageManifest, inner[:len(inner)-1]),
		source.addBlob("app", ocispec.MediaTypeImageIndex, []byte("[]")),
		source.addBlob("app", "text/plain", nil),
	}
	source.addManifest("app", "bundle", bundle.MediaType, bundle)
	blob := source.addBlob("app", "text/plain", []byte("sbom"))
	artifact := source.addManifest("app", "artifact", artifactManifest, map[string]any{"mediaType": artifactManifest, "blobs": []ocispec.Descriptor{blob}})
	listed := source.addManifest("app", "", artifactManifest, map[string]any{"mediaType": artifactManifest, "blobs": []ocispec.Descriptor{source.addBlob("app", "text/plain", []byte("in an index alone"))}})
	source.addIndex("app", "index", image, artifact, listed)
	copied(t, newCopier(t, source, target), imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true})
	for _, tag := range []string{"bundle", "artifact", "index"} {
		ok(t, target.whole("app", tag))
	}
	got := target.repos["app"]
	for _, a := range []ocispec.Descriptor{artifact, listed} {
		if m := got.manifests[a.Digest]; m.mediaType != artifactManifest {
			t.Errorf("the artifact is a %q at the target", m.mediaType)
		}
	}
	if _, there := got.blobs[blob.Digest]; !there {
		t.Error("the artifact's blob is not there")
	}
}

// TestWhatCannotBeCopied is named, and nothing of it gets a tag.
func TestWhatCannotBeCopied(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	schema1 := ocispec.Descriptor{MediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws", Digest: digest.FromString("x"), Size: 1}
	source.addIndex("app", "index", schema1)
	s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{Source: source.Host + "/app:index", Target: target.Host + "/app"})
	ok(t, err)
	if err := s.Items[0].Err; err == nil || !strings.Contains(err.Error(), "a schema 1 manifest, which cannot be converted within an index: copy its own tag") {
		t.Errorf("got %v", err)
	}
	if tags := target.tagged("app"); len(tags) > 0 {
		t.Errorf("the target has %v", tags)
	}
}

// TestDigestOfAnotherAlgorithm: what a tag names has a digest of the target's
// choosing, and that is what is said.
func TestDigestOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	image := source.addImage("app", "1", "a")
	body := source.repos["app"].manifests[image.Digest]
	other := digest.SHA512.FromBytes(body.body)
	source.repos["app"].manifests[other] = body
	source.repos["app"].tags["1"] = other
	c := newCopier(t, source, target)
	req := imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app"}
	s := copied(t, c, req)
	if i := s.Items[0]; i.Digest != image.Digest || i.State != imagecopy.Copied {
		t.Errorf("copied %s, %s", i.Digest, i.State)
	}
	ok(t, target.whole("app", "1"))
	if s = copied(t, c, req); s.Items[0].State != imagecopy.Identical {
		t.Errorf("the second time: %s", s.Items[0].State)
	}
}

// TestReferrersOfAnotherAlgorithm: what refers to an image does so by the digest
// that it has at the source, and there it is at the target, too.
func TestReferrersOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	image := source.addImage("app", "1", "a")
	body := source.repos["app"].manifests[image.Digest]
	subject := image
	subject.Digest = digest.SHA512.FromBytes(body.body)
	source.repos["app"].manifests[subject.Digest] = body
	source.repos["app"].tags["1"] = subject.Digest
	signature := source.addReferrer("app", "signature", subject)
	c := newCopier(t, source, target)
	copied(t, c, imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: true})
	if _, there := target.repos["app"].manifests[subject.Digest]; !there {
		t.Errorf("%s, which has a signature, is not there by that digest", subject.Digest)
	}
	if got := referrersAt(t, c, target, subject.Digest); !slices.Equal(got, []digest.Digest{signature.Digest}) {
		t.Errorf("to %s refer %v", subject.Digest, got)
	}
}

// TestRepositoryThatIsNotThereYet: the first token is one to push with. A dry
// run asks for none, which would make the repository.
func TestRepositoryThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	source.addImage("app", "1", "a")
	target.creates = true
	c := newCopier(t, source, target)
	req := imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/new", DryRun: true}
	if _, err := c.Copy(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if _, made := target.repos["new"]; made {
		t.Error("a dry run made the repository")
	}
	req.DryRun = false
	copied(t, c, req)
	ok(t, target.whole("new", "1"))
}

// TestReferrersOfASourceThatFails: nobody knows what they are, and the copy says
// so.
func TestReferrersOfASourceThatFails(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	source.addImage("app", "1", "a")
	source.setFail(func(_ int, req *http.Request) int {
		if strings.Contains(req.URL.Path, "/referrers/") {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: true})
	ok(t, err)
	if err := s.Items[0].Err; err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Errorf("got %v", err)
	}
}

// TestReferrersOfAKindOfTheirOwn: what cannot be copied is not passed over.
func TestReferrersOfAKindOfTheirOwn(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	source.addImage("app", "1", "a")
	source.allReferrers = []ocispec.Descriptor{{MediaType: "application/x", Digest: digest.FromString("x"), Size: 1}}
	s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: true})
	ok(t, err)
	if err := s.Items[0].Err; err == nil || !strings.Contains(err.Error(), `has the type "application/x", which cannot be copied`) {
		t.Errorf("got %v", err)
	}
}

// TestTagForReferrersIsAddedTo: what the target lists there stays, and what is
// no list is not replaced.
func TestTagForReferrersIsAddedTo(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	target.noReferrers = true
	image := source.addImage("app", "1", "a")
	source.addReferrer("app", "signature", image)
	tag := resolver.ReferrersTag(image.Digest)
	other := target.addImage("app", tag, "other")
	c := newCopier(t, source, target)
	req := imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: true}
	s, err := c.Copy(t.Context(), req)
	ok(t, err)
	if err := s.Items[0].Err; err == nil || !strings.Contains(err.Error(), "not an index: give that image another tag") || target.tagged("app")[tag] != other.Digest {
		t.Errorf("an image under the tag: %v", errors.Join(err, s.Items[0].Err))
	}
	target.addIndex("app", tag, other)
	copied(t, c, req)
	body := string(target.repos["app"].manifests[target.tagged("app")[tag]].body)
	if !strings.Contains(body, other.Digest.String()) || strings.Count(body, `"digest"`) != 2 {
		t.Errorf("the tag has %s", body)
	}
}
