package v1compat

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// labelStore keeps a local store's labels in memory.
type labelStore struct {
	mu sync.Mutex
	m  map[digest.Digest]map[string]string
}

func (s *labelStore) Get(d digest.Digest) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.m[d]), nil
}

func (s *labelStore) Set(d digest.Digest, labels map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[d] = maps.Clone(labels)
	return nil
}

func (s *labelStore) Update(d digest.Digest, update map[string]string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[d] == nil {
		s.m[d] = map[string]string{}
	}
	for key, value := range update {
		if s.m[d][key] = value; value == "" {
			delete(s.m[d], key)
		}
	}
	return maps.Clone(s.m[d]), nil
}

func localStore(t testing.TB) content.Store {
	t.Helper()
	return storeIn(t, t.TempDir())
}

func storeIn(t testing.TB, dir string) content.Store {
	t.Helper()
	store, err := local.NewLabeledStore(dir, &labelStore{m: map[digest.Digest]map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// blob reads a blob as JSON.
func blob[T any](t testing.TB, store content.Store, desc ocispec.Descriptor) T {
	t.Helper()
	var v T
	body, err := content.ReadBlob(t.Context(), store, desc)
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestConvertFromRegistry(t *testing.T) {
	t.Parallel()
	srv, client := registry(t, v1test.Python09())
	base, leaf := v1test.Tar(map[string]string{"etc/motd": "base"}), v1test.Tar(map[string]string{"bin/sh": "leaf"})
	srv.Add("library/busybox", "latest",
		v1test.Layer{Data: v1test.Gzip(base)},
		v1test.Layer{Data: v1test.Gzip(make([]byte, 1024))},
		v1test.Layer{Data: leaf})
	store := localStore(t)
	c := &Converter{Store: store, Hooks: Hooks{OnWarning: func(err error) { t.Error(err) }}}
	img, err := client.Image(t.Context(), "busybox", "latest")
	if err != nil {
		t.Fatal(err)
	}
	desc, err := c.Convert(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	manifest := blob[ocispec.Manifest](t, store, desc)
	config := blob[ocispec.Image](t, store, manifest.Config)
	if len(manifest.Layers) != 2 || len(config.RootFS.DiffIDs) != 2 || len(config.History) != 3 || !config.History[1].EmptyLayer {
		t.Errorf("manifest %+v, config %+v", manifest, config)
	}
	if got, want := manifest.Layers[0].Digest, digest.FromBytes(v1test.Gzip(base)); got != want {
		t.Errorf("the gzip layer became %s, want %s", got, want)
	}
	if got, want := config.RootFS.DiffIDs[0], digest.FromBytes(base); got != want {
		t.Errorf("its diffID is %s, want %s", got, want)
	}
	before := len(srv.Requests())
	again, err := c.Convert(t.Context(), img)
	if err != nil || again.Digest != desc.Digest {
		t.Errorf("again: %v, %v; want %v", again, err, desc)
	}
	if n := len(srv.Requests()) - before; n != 0 {
		t.Errorf("the second conversion made %d requests", n)
	}
	statuses, err := store.ListStatuses(t.Context())
	if err != nil || len(statuses) != 0 {
		t.Errorf("left behind: %v, %v", statuses, err)
	}
}

func TestConvertErrorsNameTheRegistry(t *testing.T) {
	t.Parallel()
	storage := v1test.NewStorage(nil)
	t.Cleanup(storage.Close)
	for name, row := range map[string]struct {
		quirks v1test.Quirks
		data   []byte
		limits ConvertLimits
		wants  []string
	}{
		"a wrong checksum": {v1test.Python09(), noise(3000), ConvertLimits{}, []string{"its checksum with the image JSON", "damaged on the way or at the server", ": " + NextForUnusable}},
		"damage elsewhere": {v1test.Quirks{Redirect: storage.URL, RedirectLayers: true}, v1test.Gzip(noise(4000))[:1000], ConvertLimits{}, []string{"redirected to " + storage.Host, "breaks off", "damaged"}},
		"too large":        {v1test.Quirks{}, noise(4000), ConvertLimits{Layer: 1000}, []string{"more than 1000 bytes"}},
		"too large inside": {v1test.Quirks{}, v1test.Gzip(noise(4000)), ConvertLimits{Unpacked: 1000}, []string{"more than 1000 bytes when decompressed"}},
		"a page":           {v1test.Quirks{}, []byte("<html>"), ConvertLimits{}, []string{"page or message"}},
	} {
		srv, client := registry(t, row.quirks)
		built := srv.Add("library/busybox", "latest", v1test.Layer{Data: noise(2000)})
		img, err := client.Image(t.Context(), "busybox", "latest")
		if err != nil {
			t.Fatal(err)
		}
		srv.Change(built[0].ID, func(i *v1test.Image) { i.Data = row.data })
		storage.Take(&v1test.Image{ID: built[0].ID, Data: row.data})
		_, err = (&Converter{Store: localStore(t), Limits: row.limits, sleep: noSleep}).Convert(t.Context(), img)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range append(row.wants, "Registry v1 at "+srv.URL+"/v1/: GET images/"+built[0].ID+"/layer: ") {
			if strings.Count(err.Error(), want) != 1 {
				t.Errorf("%s: %q is missing in %v", name, want, err)
			}
		}
	}
}

// streamOf is an Entry.Open over bytes.
func streamOf(data []byte) func(context.Context, int64) (*LayerStream, error) {
	return func(_ context.Context, offset int64) (*LayerStream, error) {
		return &LayerStream{
			ReadCloser: io.NopCloser(bytes.NewReader(data[offset:])),
			Start:      offset, Total: int64(len(data)), Validator: string(digest.FromBytes(data)),
		}, nil
	}
}
