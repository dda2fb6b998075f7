package pull_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/pull"
)

// platformIndex is an OCI index of an image per architecture, this machine's
// among them, and of an attestation.
func platformIndex(t *testing.T) (v1.ImageIndex, map[string]v1.Image) {
	t.Helper()
	images := map[string]v1.Image{}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	add := func(img v1.Image, p v1.Platform) {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &p}})
	}
	add(mutate.MediaType(randomImage(t, 100, 1), types.OCIManifestSchema1), v1.Platform{OS: "unknown", Architecture: "unknown"})
	for _, arch := range []string{"s390x", "amd64", "arm64", "ppc64le"} {
		config, err := randomImage(t, 100, 1).ConfigFile()
		check(t, err)
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", arch
		img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), config)
		check(t, err)
		layers, err := randomImage(t, 1000, 2).Layers()
		check(t, err)
		config.RootFS, config.History = v1.RootFS{Type: "layers"}, nil
		img, err = mutate.ConfigFile(img, config)
		check(t, err)
		img, err = mutate.AppendLayers(img, layers...)
		check(t, err)
		images[arch] = img
		add(img, v1.Platform{OS: "linux", Architecture: arch})
	}
	return index, images
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	index, images := platformIndex(t)
	r.pushIndex(t, "app:1", index)
	parse := func(list ...string) pull.Platforms {
		only, err := pull.ParsePlatforms(list)
		check(t, err)
		return pull.Platforms{Only: only}
	}
	for _, tt := range []struct {
		name  string
		take  pull.Platforms
		want  string
		blobs int
	}{
		// A manifest, a configuration, and two layers.
		{"this machine's", pull.Platforms{}, digestOf(t, images[runtime.GOARCH]), 4},
		{"another", parse("linux/s390x"), digestOf(t, images["s390x"]), 4},
		{"the same by another name", parse("linux/aarch64"), digestOf(t, images["arm64"]), 4},
		{"twice the same", parse("linux/arm64", "linux/arm64/v8"), digestOf(t, images["arm64"]), 4},
		{"all", pull.Platforms{All: true}, digestOf(t, index), 1 + 4*4 + 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			req := r.request(t, "app:1")
			req.Platforms = tt.take
			res, err := pull.ToLayout(t.Context(), req, dir)
			check(t, err)
			if res.Target.Digest.String() != tt.want || res.Resolved.Digest.String() != digestOf(t, index) {
				t.Errorf("got %+v, want %s", res, tt.want)
			}
			complete(t, dir, entries(t, dir)["1"])
			if n := len(blobsOfSize(t, dir, 0)); n != tt.blobs {
				t.Errorf("%d blobs, want %d", n, tt.blobs)
			}
		})
	}
	t.Run("two", func(t *testing.T) {
		t.Parallel()
		var digests []string
		for range 2 {
			dir := t.TempDir()
			req := r.request(t, "app:1")
			req.Platforms = parse("linux/s390x,linux/arm64")
			res, err := pull.ToLayout(t.Context(), req, dir)
			check(t, err)
			complete(t, dir, entries(t, dir)["1"])
			if n := len(blobsOfSize(t, dir, 0)); n != 1+2*4 || res.Target.MediaType != ocispec.MediaTypeImageIndex {
				t.Errorf("%d blobs, %+v", n, res)
			}
			digests = append(digests, res.Target.Digest.String())
		}
		if digests[0] != digests[1] {
			t.Errorf("the index is %s, then %s", digests[0], digests[1])
		}
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "app")
		req := r.request(t, "app:1")
		req.Platforms = parse("linux/arm64,windows/amd64")
		_, err := pull.ToLayout(t.Context(), req, dir)
		want := r.Host + "/app:1 is not available for windows/amd64, only for linux/s390x, linux/amd64, linux/arm64, linux/ppc64le: choose with --platform, or take --all-platforms"
		if !errors.As(err, new(*pull.MissingPlatformError)) || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	})
}

func TestImageForOnePlatform(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	_, images := platformIndex(t)
	r.push(t, "app:1", images["s390x"])
	for _, tt := range []struct {
		name string
		list []string
		want string
	}{
		{"whatever it is for", nil, ""},
		{"what it is for", []string{"linux/s390x"}, ""},
		{"another", []string{"linux/arm64"}, r.Host + "/app:1 is not available for linux/arm64, only for linux/s390x: choose with --platform, or take --all-platforms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := r.request(t, "app:1")
			var err error
			req.Platforms.Only, err = pull.ParsePlatforms(tt.list)
			check(t, err)
			_, err = pull.ToLayout(t.Context(), req, t.TempDir())
			if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestDockerListBecomesIndex holds that all of a manifest list becomes OCI's.
func TestDockerListBecomesIndex(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	list := mutate.IndexMediaType(empty.Index, types.DockerManifestList)
	for _, arch := range []string{"amd64", "arm64"} {
		list = mutate.AppendManifests(list, mutate.IndexAddendum{
			Add: randomImage(t, 100, 1), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	r.pushIndex(t, "app:1", list)
	dir := t.TempDir()
	req := r.request(t, "app:1")
	req.Platforms.All = true
	res, err := pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
	if res.Target.MediaType != ocispec.MediaTypeImageIndex || res.Resolved.Digest.String() != digestOf(t, list) {
		t.Errorf("got %+v", res)
	}
}

func TestParsePlatforms(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "linux/", "linux/arm64,", "a/b/c/d/e", "linux/amd64;x"} {
		if got, err := pull.ParsePlatforms([]string{bad}); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
	_, err := pull.ParsePlatforms([]string{"linux/?"})
	if want := `"linux/?" is not a platform: write OS/ARCH[/VARIANT], such as linux/arm64`; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestWrongIndexIsRefused(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	index, _ := platformIndex(t)
	r.pushIndex(t, "app:1", index)
	r.Guard(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/manifests/"+digestOf(t, index)) {
			return false
		}
		rec := &recorded{header: http.Header{}}
		r.own.ServeHTTP(rec, req)
		_, _ = w.Write(bytes.Replace(rec.body.Bytes(), []byte("s390x"), []byte("s390y"), 1))
		return true
	})
	dir := filepath.Join(t.TempDir(), "app")
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	var d *pull.DigestError
	if !errors.As(err, &d) || d.Want.String() != digestOf(t, index) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
