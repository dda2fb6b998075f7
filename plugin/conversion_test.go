package plugin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/local"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// daemon is the part of containerd that a transfer needs, with our transferrer
// around containerd's.
type daemon struct {
	db     *metadata.DB
	leases leases.Manager
	ours   *transferrer
	spy    *spy
}

func newDaemon(t *testing.T, roots string) *daemon {
	t.Helper()
	dir := t.TempDir()
	store, err := contentlocal.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	bdb, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bdb.Close() })
	db := metadata.NewDB(bdb, store, nil)
	if err := db.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := &daemon{db: db, leases: metadata.NewLeaseManager(db)}
	config := defaultConfig()
	config.ConfigPath = roots
	settings, err := configure(t.Context(), *config)
	if err != nil {
		t.Fatal(err)
	}
	stock := local.NewTransferService(db.ContentStore(), metadata.NewImageStore(db), local.TransferConfig{Leases: d.leases})
	d.spy = &spy{Transferrer: stock, daemon: d}
	d.ours = &transferrer{stock: d.spy, settings: settings, content: db.ContentStore()}
	t.Cleanup(func() { settings.hostsFor("").CloseIdleConnections() })
	return d
}

// spy stands between our transferrer and containerd's, and sees what
// containerd asks our source.
type spy struct {
	transfer.Transferrer
	daemon *daemon
	// resolved is called when Resolve has returned, with its context.
	resolved func(ctx context.Context, desc ocispec.Descriptor)
	fetches  atomic.Int32
}

func (s *spy) Transfer(ctx context.Context, src, dst any, opts ...transfer.Opt) error {
	ours, ok := src.(*remote)
	if !ok {
		return fmt.Errorf("the source is a %T", src)
	}
	return s.Transferrer.Transfer(ctx, &spiedSource{remote: ours, spy: s}, dst, opts...)
}

type spiedSource struct {
	*remote
	spy *spy
}

func (s *spiedSource) Resolve(ctx context.Context) (string, ocispec.Descriptor, error) {
	name, desc, err := s.remote.Resolve(ctx)
	if err == nil && s.spy.resolved != nil {
		s.spy.resolved(ctx, desc)
	}
	return name, desc, err
}

func (s *spiedSource) Fetcher(ctx context.Context, ref string) (transfer.Fetcher, error) {
	f, err := s.remote.Fetcher(ctx, ref)
	return fetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		s.spy.fetches.Add(1)
		return f.Fetch(ctx, desc)
	}), err
}

type fetcherFunc func(context.Context, ocispec.Descriptor) (io.ReadCloser, error)

func (f fetcherFunc) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return f(ctx, desc)
}

// TestConversionWritesNothingTwice shows with containerd's own transfer service
// and metadata store that what Resolve converts is under the transfer's lease,
// survives a garbage collection before any image refers to it, is found by the
// pull that follows, and is fetched from nobody.
func TestConversionWritesNothingTwice(t *testing.T) {
	t.Parallel()
	srv := v1test.New(v1test.Options{})
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	srv.Add("library/app", "1",
		v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))},
		v1test.Layer{Data: v1test.Tar(map[string]string{"b": "2"})},
	)
	roots := t.TempDir()
	dir := filepath.Join(roots, host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("server = \"http://"+host+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, roots)
	ctx := namespaces.WithNamespace(t.Context(), "test")
	d.spy.resolved = func(ctx context.Context, desc ocispec.Descriptor) { d.checkLease(ctx, t, desc) }

	stock, err := registry.NewOCIRegistry(ctx, host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	// containerd itself reports from two goroutines at once.
	var mu sync.Mutex
	var events []transfer.Progress
	report := transfer.WithProgress(func(p transfer.Progress) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, p)
	})
	store := image.NewStore(host+"/app:1", image.WithPlatforms(platforms.MustParse("linux/amd64")))
	if err := d.ours.Transfer(ctx, stock, store, report); err != nil {
		t.Fatal(err)
	}
	if n := d.spy.fetches.Load(); n != 0 {
		t.Errorf("the pull fetched %d times what the conversion had written", n)
	}
	if n := layerRequests(srv); n != 2 {
		t.Errorf("%d requests for 2 layers", n)
	}
	img, err := metadata.NewImageStore(d.db).Get(ctx, host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.db.GarbageCollect(ctx); err != nil {
		t.Fatal(err)
	}
	for _, blob := range d.blobs(ctx, t, img.Target) {
		info, err := d.db.ContentStore().Info(ctx, blob)
		if err != nil {
			t.Errorf("%s after the transfer and a garbage collection: %v", blob, err)
		}
		if got := info.Labels["containerd.io/distribution.source.127.0.0.1"]; got == "" {
			t.Errorf("%s has no distribution source: %v", blob, info.Labels)
		}
	}
	checkLayerEvents(t, events)
}

// checkLease looks at the moment between Resolve and the pull.
func (d *daemon) checkLease(ctx context.Context, t *testing.T, desc ocispec.Descriptor) {
	id, ok := leases.FromContext(ctx)
	if !ok {
		t.Error("containerd resolves without a lease")
		return
	}
	resources, err := d.leases.ListResources(ctx, leases.Lease{ID: id})
	if err != nil {
		t.Error(err)
	}
	leased := map[string]bool{}
	for _, r := range resources {
		leased[r.ID] = true
	}
	if _, err := d.db.GarbageCollect(ctx); err != nil {
		t.Error(err)
	}
	for _, blob := range d.blobs(ctx, t, desc) {
		if !leased[blob.String()] {
			t.Errorf("%s is not under the transfer's lease", blob)
		}
	}
}

// blobs lists a manifest and what it refers to; all of it must be readable.
func (d *daemon) blobs(ctx context.Context, t *testing.T, desc ocispec.Descriptor) []digest.Digest {
	t.Helper()
	store := d.db.ContentStore()
	manifest, err := images.Manifest(ctx, store, desc, platforms.All)
	if err != nil {
		t.Error(err)
		return nil
	}
	blobs := []digest.Digest{desc.Digest, manifest.Config.Digest}
	for _, l := range manifest.Layers {
		if _, err := content.ReadBlob(ctx, store, l); err != nil {
			t.Error(err)
		}
		blobs = append(blobs, l.Digest)
	}
	return blobs
}

func layerRequests(srv *v1test.Server) int {
	n := 0
	for _, r := range srv.Requests() {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URI, "/layer") {
			n++
		}
	}
	return n
}

// checkLayerEvents wants progress that CRI counts: see layerProgress.
func checkLayerEvents(t *testing.T, events []transfer.Progress) {
	t.Helper()
	complete := 0
	for _, e := range events {
		if e.Event != "complete" && e.Event != "downloading" {
			continue
		}
		if e.Name == "" || e.Desc == nil || e.Total == 0 {
			t.Errorf("CRI would overlook %+v", e)
		}
		if e.Event == "complete" && strings.Contains(e.Name, "layer") {
			complete++
		}
	}
	if complete < 2 {
		t.Errorf("%d layers were reported complete, want 2: %+v", complete, events)
	}
}
