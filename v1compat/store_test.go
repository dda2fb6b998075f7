package v1compat

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/services/content/contentserver"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// counting makes an image whose layers count how often they are opened.
func counting(img *Image) *atomic.Int64 {
	n := new(atomic.Int64)
	for i := range img.Entries {
		open := img.Entries[i].Open
		img.Entries[i].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
			n.Add(1)
			return open(ctx, offset)
		}
	}
	return n
}

func sampleLayers(t testing.TB) [][]byte {
	tar := noise(4000)
	return [][]byte{
		v1test.Gzip(tar), v1test.Gzip(make([]byte, 1024)), xzOf(t, noise(3000)), nil,
		v1test.Tar(map[string]string{"a": "b"}), zstdOf(t, noise(2000)),
	}
}

func TestKnownLayers(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		change func(*testing.T, content.Store, *Image)
		opened int64
	}{
		{"the same image", func(*testing.T, content.Store, *Image) {}, 0},
		{"another repository", func(_ *testing.T, _ content.Store, img *Image) { img.Repository = "other" }, 6},
		{"another registry", func(_ *testing.T, _ content.Store, img *Image) { img.Registry = "other" }, 6},
		{"the same id with another JSON", func(_ *testing.T, _ content.Store, img *Image) {
			img.Entries[2].JSON = append([]byte(" "), img.Entries[2].JSON...)
		}, 1},
		{"the same id with another size", func(_ *testing.T, _ content.Store, img *Image) { img.Entries[0].Size = 5 }, 1},
		{"the same id with other checksums", func(_ *testing.T, _ content.Store, img *Image) {
			img.Entries[0].Checksums = []string{"tarsum+sha256:ab"}
		}, 1},
		{"a layer deleted", func(t *testing.T, store content.Store, img *Image) {
			data := sampleLayers(t)[0]
			if err := store.Delete(t.Context(), digest.FromBytes(data)); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"the uncompressed label lost", func(t *testing.T, store content.Store, img *Image) {
			info := content.Info{Digest: digest.FromBytes(sampleLayers(t)[0])}
			if _, err := store.Update(t.Context(), info, "labels.containerd.io/uncompressed"); err != nil {
				t.Fatal(err)
			}
		}, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := localStore(t)
			want := convert(t, &Converter{Store: store}, imageOf(sampleLayers(t)...))
			img := imageOf(sampleLayers(t)...)
			row.change(t, store, img)
			opened := counting(img)
			var known, done atomic.Int64
			c := &Converter{Store: store, Hooks: Hooks{OnProgress: func(p Progress) {
				if p.Known {
					known.Add(1)
				}
				if p.Done {
					done.Add(1)
				}
			}}}
			got := convert(t, c, img)
			if opened.Load() != row.opened || known.Load() != 6-row.opened || done.Load() != 6 {
				t.Errorf("%d layers opened, %d known, %d done; want %d, %d, 6", opened.Load(), known.Load(), done.Load(), row.opened, 6-row.opened)
			}
			if got.desc.Digest != want.desc.Digest {
				t.Errorf("manifest %s, want %s", got.desc.Digest, want.desc.Digest)
			}
		})
	}
}

// TestManifestIsTheSameEverywhere pins the digest: a change of it is a change
// of every converted image, on half of the nodes of a cluster at a time.
func TestManifestIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	const want = "sha256:7071e140c2224089959f0f24d3283e0116c75c64c50f051f572f1f61da596b65"
	tar := bytes.Repeat([]byte{0}, 1536)
	copy(tar, "file")
	copy(tar[148:], fmt.Sprintf("%06o\x00 ", int('f'+'i'+'l'+'e'+8*' ')))
	for _, registry := range []string{"registry.example:5000", "localhost"} {
		img := imageOf(tar, nil, xzOf(t, tar))
		img.Registry = registry
		img.Entries[0].Size, img.Entries[1].Checksums = 1, []string{"md5:x"}
		got := convert(t, &Converter{Store: localStore(t), MaxConcurrentDownloads: 1}, img)
		if got.desc.Digest != want {
			t.Errorf("manifest %s, want %s", got.desc.Digest, want)
		}
		if got.desc.MediaType != ocispec.MediaTypeImageManifest || got.manifest.MediaType != got.desc.MediaType || got.manifest.SchemaVersion != 2 {
			t.Errorf("descriptor %v, manifest %v", got.desc, got.manifest)
		}
	}
}

// TestConcurrentConversions holds a layer back until three conversions wait
// for the fourth to fetch it.
func TestConcurrentConversions(t *testing.T) {
	t.Parallel()
	ctx, store, _ := metadataStore(t)
	const conversions = 4
	waiting := make(chan int, 1000)
	gate := make(chan struct{})
	var opened atomic.Int64
	img := imageOf(sampleLayers(t)...)
	open := img.Entries[0].Open
	img.Entries[0].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
		opened.Add(1)
		<-gate
		return open(ctx, offset)
	}
	digests := make([]digest.Digest, conversions)
	var wg sync.WaitGroup
	for i := range digests {
		wg.Go(func() {
			c := &Converter{Store: store, MaxConcurrentDownloads: 1, sleep: func(ctx context.Context, d time.Duration) error {
				waiting <- i
				return (&Converter{}).wait(ctx, d)
			}}
			desc, err := c.Convert(ctx, img)
			if err != nil {
				t.Error(err)
			}
			digests[i] = desc.Digest
		})
	}
	for seen := map[int]bool{}; len(seen) < conversions-1; {
		seen[<-waiting] = true
	}
	close(gate)
	wg.Wait()
	for _, d := range digests {
		if d != digests[0] || d == "" {
			t.Errorf("manifests %v", digests)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("the layer was opened %d times", n)
	}
}

// TestSharedLayers converts two images of one repository with common layers.
func TestSharedLayers(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	layers := sampleLayers(t)
	convert(t, &Converter{Store: store}, imageOf(layers[:3]...))
	img := imageOf(layers...)
	opened := counting(img)
	convert(t, &Converter{Store: store}, img)
	if n := opened.Load(); n != 3 {
		t.Errorf("%d layers opened, want 3", n)
	}
}

// TestLayerOfManyEntries converts images side by side that have the same layer
// and differ in what the server says of it. Each is known afterwards.
func TestLayerOfManyEntries(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	layer := v1test.Gzip(noise(1000))
	convert(t, &Converter{Store: store}, imageOf(layer))
	images := make([]*Image, 16)
	for i := range images {
		images[i] = imageOf(layer)
		images[i].Entries[0].Size = int64(i + 1)
	}
	var wg sync.WaitGroup
	for _, img := range images {
		wg.Go(func() {
			if _, err := (&Converter{Store: store}).Convert(t.Context(), img); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, img := range images {
		opened := counting(img)
		convert(t, &Converter{Store: store}, img)
		if n := opened.Load(); n != 0 {
			t.Errorf("layer %d is not known", i)
		}
	}
}

// TestStoreWithoutLabels is about the store of an OCI layout.
func TestStoreWithoutLabels(t *testing.T) {
	t.Parallel()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := convert(t, &Converter{Store: localStore(t)}, imageOf(sampleLayers(t)...))
	for range 2 {
		got := convert(t, &Converter{Store: store}, imageOf(sampleLayers(t)...))
		if got.desc.Digest != want.desc.Digest {
			t.Errorf("manifest %s, want %s", got.desc.Digest, want.desc.Digest)
		}
	}
}

// TestStoreOfADaemon goes through containerd's content service.
func TestStoreOfADaemon(t *testing.T) {
	t.Parallel()
	ctx, store, _ := metadataStore(t)
	service := contentserver.New(store)
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	contentapi.RegisterContentServer(srv, service)
	go func() { _ = srv.Serve(l) }()
	defer srv.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	layers := sampleLayers(t)
	layers[4] = layers[0] // another entry of the same bytes
	img := imageOf(layers...)
	opened := counting(img)
	want := convert(t, &Converter{Store: localStore(t)}, imageOf(layers...))
	for range 2 {
		desc, err := (&Converter{Store: proxy.NewContentStore(conn)}).Convert(ctx, img)
		if err != nil || desc.Digest != want.desc.Digest {
			t.Errorf("manifest %s, want %s: %v", desc.Digest, want.desc.Digest, err)
		}
	}
	if n := opened.Load(); n != 6 {
		t.Errorf("%d layers opened for 6", n)
	}
	if left, err := store.ListStatuses(ctx); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func metadataStore(t testing.TB) (context.Context, content.Store, *metadata.DB) {
	t.Helper()
	dir := t.TempDir()
	blobs, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	mdb := metadata.NewDB(db, blobs, nil)
	ctx := namespaces.WithNamespace(t.Context(), "test")
	if err := mdb.Init(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, mdb.ContentStore(), mdb
}

// TestGarbageCollection converts under a lease in containerd's own store and
// collects garbage when containerd might.
func TestGarbageCollection(t *testing.T) {
	t.Parallel()
	ctx, store, db := metadataStore(t)
	manager := metadata.NewLeaseManager(db)
	collect := func(when string, want int) {
		t.Helper()
		if _, err := db.GarbageCollect(ctx); err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := store.Walk(ctx, func(content.Info) error { n++; return nil }); err != nil || n != want {
			t.Errorf("%s there are %d blobs, want %d (%v)", when, n, want, err)
		}
	}
	leased := func() (context.Context, leases.Lease) {
		l, err := manager.Create(ctx, leases.WithRandomID())
		if err != nil {
			t.Fatal(err)
		}
		return leases.WithLease(ctx, l.ID), l
	}
	layers := sampleLayers(t)
	const blobs = 4 + 2 // layers with content, config and manifest

	// Garbage is collected at each progress report: every layer is safe as soon
	// as it is there.
	lctx, lease := leased()
	c := &Converter{Store: store, MaxConcurrentDownloads: 1, Hooks: Hooks{OnProgress: func(Progress) {
		if _, err := db.GarbageCollect(ctx); err != nil {
			t.Error(err)
		}
	}}}
	desc, err := c.Convert(lctx, imageOf(layers...))
	if err != nil {
		t.Fatal(err)
	}
	collect("under the lease", blobs)
	img, err := metadata.NewImageStore(db).Create(ctx, images.Image{Name: "reg/repo:tag", Target: desc})
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.Delete(ctx, lease); err != nil {
		t.Fatal(err)
	}
	collect("with an image", blobs)

	// Known layers are added to the lease of the next conversion: the image may
	// go in the middle of it.
	lctx, lease = leased()
	opened := 0
	c.Hooks.OnProgress = func(p Progress) {
		if p.Known && opened == 0 {
			opened++
			if err := metadata.NewImageStore(db).Delete(ctx, img.Name); err != nil {
				t.Error(err)
			}
			if _, err := db.GarbageCollect(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	again, err := c.Convert(lctx, imageOf(layers...))
	if err != nil || again.Digest != desc.Digest {
		t.Fatalf("%v, %v", again, err)
	}
	collect("with a new lease", blobs)
	if err := manager.Delete(ctx, lease); err != nil {
		t.Fatal(err)
	}
	collect("without lease and image", 0)
	if _, err := store.Info(ctx, desc.Digest); !errdefs.IsNotFound(err) {
		t.Errorf("the manifest is still there: %v", err)
	}
}

func TestLabels(t *testing.T) {
	t.Parallel()
	store := localStore(t)
	layer := v1test.Gzip(noise(1000))
	for _, repository := range []string{"b", "a", "b", "c"} {
		img := imageOf(layer)
		img.Repository = repository
		convert(t, &Converter{Store: store}, img)
	}
	info, err := store.Info(t.Context(), digest.FromBytes(layer))
	if err != nil || info.Labels["containerd.io/distribution.source.registry.example"] != "a,b,c" {
		t.Errorf("labels %v, %v", info.Labels, err)
	}
	// A server that gives every layer a new id at each start must not make
	// labels grow for ever.
	var list string
	for i := range 1000 {
		list = addRecent(list, string(newFingerprint(strconv.Itoa(i))), 4000)
	}
	if len(list) > 4000 || !strings.HasPrefix(list, string(newFingerprint("999"))+",") {
		t.Errorf("%d bytes: %s", len(list), list)
	}
}

func TestLongRepository(t *testing.T) {
	t.Parallel()
	img := imageOf(v1test.Gzip(noise(1000)))
	img.Registry, img.Repository = "[::1]:5000", strings.Repeat("r", 5000)
	convert(t, &Converter{Store: localStore(t)}, img)
}
