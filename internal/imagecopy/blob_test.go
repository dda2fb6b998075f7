package imagecopy_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
)

// TestLayersOfTheSameRegistryAreMounted: where that does not work they are sent.
func TestLayersOfTheSameRegistryAreMounted(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		mount int
		want  imagecopy.Counts
	}{
		"the registry mounts":                  {0, imagecopy.Counts{Mounted: 3}},
		"the registry wants the layer instead": {http.StatusAccepted, imagecopy.Counts{Sent: 3}},
		"the registry forbids":                 {http.StatusForbidden, imagecopy.Counts{Sent: 3}},
		"the registry does not understand":     {http.StatusMethodNotAllowed, imagecopy.Counts{Sent: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t)
			r.mount = row.mount
			r.addImage("app", "1", "a", "b")
			s := copied(t, newCopier(t, r), imagecopy.Request{Source: r.Host + "/app:1", Target: r.Host + "/team/app"})
			ok(t, r.whole("team/app", "1"))
			got := s.Counts
			got.Bytes = 0
			if got != row.want {
				t.Errorf("%+v, want %+v", got, row.want)
			}
			if gets := count(r.log(), "GET", "/blobs/"); gets != row.want.Sent {
				t.Errorf("%d layers were fetched", gets)
			}
		})
	}
}

// TestContentThatIsNotWhatItsDigestSays is refused, and does not get to the
// target. The other tags are copied.
func TestContentThatIsNotWhatItsDigestSays(t *testing.T) {
	t.Parallel()
	good := layerData("bad")
	for name, row := range map[string]struct {
		data []byte
		want string
	}{
		"other content": {append(bytes.Clone(good[:len(good)-1]), '!'), "the source sends other content than DIGEST"},
		"too short":     {good[:len(good)-5], "the source ends after 299995 of the 300000 bytes of DIGEST"},
		"too long":      {append(bytes.Clone(good), '!'), "the source sends more than the 300000 bytes of DIGEST"},
		"nothing":       {[]byte{}, "the source ends after 0 of the 300000 bytes of DIGEST"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target := newRegistry(t), newRegistry(t)
			source.addImage("app", "bad", "shared", "bad")
			source.addImage("app", "good", "shared", "good")
			bad := digest.FromBytes(good)
			source.repos["app"].blobs[bad] = row.data
			s, err := newCopier(t, source, target).Copy(t.Context(),
				imagecopy.Request{Source: source.Host + "/app", Target: target.Host + "/app", AllTags: true})
			ok(t, err)
			if s.Items[0].State != imagecopy.Failed || s.Items[1].State != imagecopy.Copied {
				t.Fatalf("%+v", s.Items)
			}
			want := strings.ReplaceAll(row.want, "DIGEST", bad.String())
			if got := s.Items[0].Err.Error(); !strings.Contains(got, want) && name != "too long" {
				t.Errorf("got %q, want %q", got, want)
			}
			if _, there := target.repos["app"].blobs[bad]; there {
				t.Error("the target has it")
			}
			if _, there := target.tagged("app")["bad"]; there {
				t.Error("the target has the tag")
			}
			ok(t, target.whole("app", "good"))
		})
	}
}

func TestManifestThatIsNotWhatItsDigestSays(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	desc := source.addImage("app", "1", "a")
	m := source.repos["app"].manifests[desc.Digest]
	source.repos["app"].manifests[desc.Digest] = stored{m.mediaType, bytes.Replace(m.body, []byte("gzip"), []byte("zstd"), 1)}
	s, err := newCopier(t, source, target).Copy(t.Context(), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app"})
	ok(t, err)
	if got, want := s.Items[0].Err, "the source sends other content than "+desc.Digest.String(); got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if len(target.tagged("app")) > 0 {
		t.Error("the target has it")
	}
}

// TestUploadsAreBegunAnew where the registry wants to know who is there only
// when the body comes: the body has been read by then.
func TestUploadsAreBegunAnew(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	target.password = "secret"
	source.addImage("app", "1", "a", "b")
	c := newCopier(t, source, target)
	c.Credentials = func(host, _ string) (string, string, error) {
		if host != target.Host {
			return "", "", nil
		}
		return "jo", "secret", nil
	}
	copied(t, c, imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app"})
	ok(t, target.whole("app", "1"))
}

// TestTargetThatIsBusy: whatever is answered 429 is asked again, the bodies of
// layers and manifests with it, which have been read in part by then.
func TestTargetThatIsBusy(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	source.addImage("app", "1", "a", "b")
	asked := map[string]int{}
	target.setFail(func(_ int, r *http.Request) int {
		key := r.Method + " " + r.URL.RequestURI()
		if asked[key]++; r.Method == http.MethodPut && asked[key] <= 2 || r.Method == http.MethodPost && asked[key] == 1 {
			return http.StatusTooManyRequests
		}
		return 0
	})
	s := copied(t, newCopier(t, source, target), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app"})
	ok(t, target.whole("app", "1"))
	if s.Counts.Sent != 3 {
		t.Errorf("%+v", s.Counts)
	}
	if puts := count(target.log(), "PUT", ""); puts != 3*4 {
		t.Errorf("%d requests with a body, want 12", puts)
	}
}

// TestUnusualLayers: an empty one is sent, one that must not be distributed
// stays where it is.
func TestUnusualLayers(t *testing.T) {
	t.Parallel()
	source, target := newRegistry(t), newRegistry(t)
	foreign := ocispec.Descriptor{
		MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Size: 5,
		Digest: digest.FromString("elsewhere"), URLs: []string{"https://elsewhere.test/layer"},
	}
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    source.addBlob("app", "application/vnd.oci.empty.v1+json", []byte("{}")),
		Layers:    []ocispec.Descriptor{source.addBlob("app", "text/plain", nil), foreign},
	}
	source.addManifest("app", "1", m.MediaType, m)
	s := copied(t, newCopier(t, source, target), imagecopy.Request{Source: source.Host + "/app:1", Target: target.Host + "/app"})
	ok(t, target.whole("app", "1"))
	if s.Counts.Sent != 2 {
		t.Errorf("%+v", s.Counts)
	}
}
