package imagecopy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/resolver"
)

// addReferrer puts what refers to a manifest into a repository.
func (r *registry) addReferrer(name, what string, subject ocispec.Descriptor) ocispec.Descriptor {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/" + what, Subject: &subject}
	m.SchemaVersion = 2
	m.Config = r.addBlob(name, "application/vnd.oci.empty.v1+json", []byte("{}"))
	m.Layers = []ocispec.Descriptor{r.addBlob(name, "text/plain", fmt.Append(nil, what, subject.Digest))}
	return r.addManifest(name, "", m.MediaType, m)
}

// TestReferrers: a signature of one platform's image, and an attestation of the
// whole that is signed itself. Registries without the referrers API list them
// under a tag.
func TestReferrers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ asked, noReferrers bool }{
		"not asked for":                       {},
		"both know referrers":                 {asked: true},
		"the target lists them under its tag": {asked: true, noReferrers: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := newRegistry(t), newRegistry(t)
			target.noReferrers = row.noReferrers
			amd64 := source.addImage("app", "", "amd64")
			index := source.addIndex("app", "1", amd64, source.addImage("app", "", "arm64"))
			signature := source.addReferrer("app", "signature", amd64)
			attestation := source.addReferrer("app", "attestation", index)
			signed := source.addReferrer("app", "signature", attestation)
			c := newCopier(t, source, target)
			req := imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: row.asked}
			copied(t, c, req)
			for subject, want := range map[digest.Digest]digest.Digest{
				amd64.Digest: signature.Digest, index.Digest: attestation.Digest, attestation.Digest: signed.Digest,
			} {
				got := referrersAt(t, c, target, subject)
				if !row.asked && len(got) > 0 || row.asked && !slices.Equal(got, []digest.Digest{want}) {
					t.Errorf("to %s refer %v", subject, got)
				}
			}
			target.log()
			copied(t, c, req)
			if requests := target.log(); count(requests, "PUT", "/")+count(requests, "POST", "/") > 0 {
				t.Errorf("the second time: %q", requests)
			}
		})
	}
}

// referrersAt are those that the target tells a client.
func referrersAt(t *testing.T, c *imagecopy.Copier, target *registry, subject digest.Digest) []digest.Digest {
	t.Helper()
	f, err := resolver.New(resolver.Options{Hosts: c.Hosts}).Fetcher(t.Context(), target.Host+"/app@"+subject.String())
	ok(t, err)
	fetcher, is := f.(remotes.ReferrersFetcher)
	if !is {
		t.Fatalf("a %T cannot fetch referrers", f)
	}
	list, err := fetcher.FetchReferrers(t.Context(), subject)
	ok(t, err)
	var digests []digest.Digest
	for _, d := range list {
		digests = append(digests, d.Digest)
		if _, there := target.repos["app"].manifests[d.Digest]; !there {
			t.Errorf("%s is listed and not there", d.Digest)
		}
	}
	return digests
}

// TestReferrersWithoutEnd: a registry may say what it likes.
func TestReferrersWithoutEnd(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	image := source.addImage("app", "1", "a")
	list := make([]ocispec.Descriptor, 100)
	for i := range list {
		list[i] = image
	}
	source.allReferrers = list
	s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app", Referrers: true})
	ok(t, err)
	if want := "what refers to it is referred to more than 4 times over"; s.Items[0].Err == nil || !strings.HasSuffix(s.Items[0].Err.Error(), want) {
		t.Errorf("got %v, want %s", s.Items[0].Err, want)
	}
}

// TestDigestOfTwoKinds: what one image has for a layer is another's manifest.
func TestDigestOfTwoKinds(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	image := source.addImage("app", "", "a")
	layer := source.addBlob("app", "application/octet-stream", source.repos["app"].manifests[image.Digest].body)
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{layer}}
	m.Config = source.addBlob("app", "application/vnd.oci.empty.v1+json", []byte("{}"))
	source.addManifest("app", "a-layer", m.MediaType, m)
	source.addIndex("app", "index", image)
	c := newCopier(t, source, target)
	c.Tags = 1
	copied(t, c, imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true})
	ok(t, target.whole("app", "a-layer"))
	ok(t, target.whole("app", "index"))
}
