package imageservice

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/content/local"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// These stand for containerd's own plugins of that name, which have goroutines and
// a database without an end, and mount: as nobody but root may.
func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.MetadataPlugin, ID: "bolt",
		InitFn: func(ic *plugin.InitContext) (any, error) { return openMetadata(ic.Context) },
	})
	registry.Register(&plugin.Registration{
		Type: plugins.GCPlugin, ID: "scheduler", Requires: []plugin.Type{plugins.MetadataPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			db, err := ic.GetSingle(plugins.MetadataPlugin)
			m, _ := db.(*metadata.DB)
			return collector{m}, err
		},
	})
	registry.Register(&plugin.Registration{
		Type: plugins.DiffPlugin, ID: "walking", Requires: []plugin.Type{plugins.MetadataPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			db, err := ic.GetSingle(plugins.MetadataPlugin)
			m, _ := db.(*metadata.DB)
			return applier{m}, err
		},
	})
}

type collector struct{ *metadata.DB }

func (c collector) ScheduleAndWait(ctx context.Context) (gc.Stats, error) {
	return c.GarbageCollect(ctx)
}

// applier unpacks a layer into the directory of a bind mount.
type applier struct{ db *metadata.DB }

func (a applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, _ ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	blob, err := a.db.ContentStore().ReaderAt(ctx, desc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer blob.Close()
	layer, err := diff.GetProcessor(ctx, diff.NewProcessorChain(desc.MediaType, content.NewReader(blob)), nil)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer layer.Close()
	sum := digest.Canonical.Digester()
	tee := io.TeeReader(layer, sum.Hash())
	size, err := archive.Apply(ctx, mounts[0].Source, tee, archive.WithNoSameOwner())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	rest, err := io.Copy(io.Discard, tee)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: sum.Digest(), Size: size + rest}, err
}

func (applier) Compare(context.Context, []mount.Mount, []mount.Mount, ...diff.Opt) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, errdefs.ErrNotImplemented
}

// daemonKey is under what a context has its daemon.
type daemonKey struct{}

func openMetadata(ctx context.Context) (*metadata.DB, error) {
	d, _ := ctx.Value(daemonKey{}).(*testDaemon)
	store, err := local.NewStore(filepath.Join(d.dir, "content"))
	if err != nil {
		return nil, err
	}
	snapshotter, err := native.NewSnapshotter(filepath.Join(d.dir, "native"))
	if err != nil {
		return nil, err
	}
	d.close = append(d.close, snapshotter.Close)
	b, err := bolt.Open(filepath.Join(d.dir, "meta.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	d.close = append(d.close, b.Close)
	d.db = metadata.NewDB(b, store, map[string]snapshots.Snapshotter{"native": snapshotter})
	return d.db, d.db.Init(ctx)
}

// testDaemon is containerd, with the services of its own that a pull asks, a CRI that
// knows what is in its store, and the snapshotter that needs no root.
type testDaemon struct {
	dir, address string
	// v2 is its configuration if it is containerd 2; see transfers_test.go.
	v2       *transferring
	db       *metadata.DB
	cri      *cri
	server   *grpc.Server
	listener net.Listener
	close    []func() error

	// calls counts those of each method.
	calls sync.Map
}

// The methods whose calls are counted.
const (
	transferMethod = "/containerd.services.transfer.v1.Transfer/Transfer"
	leaseMethod    = "/containerd.services.leases.v1.Leases/Create"
)

// called is how often a method was called.
func (d *testDaemon) called(method string) int64 {
	n, _ := d.calls.LoadOrStore(method, &atomic.Int64{})
	count, _ := n.(*atomic.Int64)
	return count.Load()
}

func newDaemon(t *testing.T, config *transferring) *testDaemon {
	t.Helper()
	d := &testDaemon{dir: t.TempDir(), cri: &cri{}, v2: config}
	d.address = filepath.Join(d.dir, "sock")
	d.start(t)
	t.Cleanup(d.stop)
	return d
}

// start is also for the second time.
func (d *testDaemon) start(t *testing.T) {
	t.Helper()
	d.server = grpc.NewServer(grpc.UnaryInterceptor(d.inNamespace), grpc.StreamInterceptor(streamInNamespace))
	set := plugin.NewPluginSet()
	ctx := context.WithValue(context.Background(), daemonKey{}, d)
	for _, r := range registry.Graph(d.without) {
		ic := plugin.NewContext(ctx, set, map[string]string{plugins.PropertyRootDir: d.dir})
		ic.Config = d.configOf(t, &r)
		p := r.Init(ic)
		must(t, set.Add(p))
		instance, err := p.Instance()
		must(t, err)
		if s, ok := instance.(interface {
			Register(server *grpc.Server) error
		}); ok {
			must(t, s.Register(d.server))
		}
	}
	d.cri.db = d.db
	runtime.RegisterImageServiceServer(d.server, d.cri)
	if !d.cri.disabled {
		runtime.RegisterRuntimeServiceServer(d.server, &criStatus{cri: d.cri})
	}
	var err error
	d.listener, err = listenUnix(t, d.address)
	must(t, err)
	go d.server.Serve(d.listener) //nolint:errcheck // it is stopped
}

func (d *testDaemon) stop() {
	d.server.Stop()
	_ = d.listener.Close() // it may not have been served yet
	for _, c := range d.close {
		_ = c()
	}
	d.close = nil
}

func (d *testDaemon) inNamespace(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	n, _ := d.calls.LoadOrStore(info.FullMethod, &atomic.Int64{})
	if count, ok := n.(*atomic.Int64); ok {
		count.Add(1)
	}
	if name, ok := namespaces.Namespace(ctx); ok {
		ctx = namespaces.WithNamespace(ctx, name)
	}
	return handle(ctx, req)
}

type inStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is that of the stream
}

func (s *inStream) Context() context.Context { return s.ctx }

func streamInNamespace(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	if name, ok := namespaces.Namespace(ctx); ok {
		ctx = namespaces.WithNamespace(ctx, name)
	}
	return handle(srv, &inStream{stream, ctx})
}

// cri knows images as CRI does once it has taken in what others have pulled.
type cri struct {
	runtime.UnimplementedImageServiceServer

	db *metadata.DB

	mu sync.Mutex // guards the rest
	// config is its configuration, as in its status; disabled, it has none.
	config   string
	disabled bool
	// late is how often an image is not known yet, fail why it cannot be told, and
	// failFs why the snapshotter's directory cannot.
	late         int
	fail, failFs error
}

func (c *cri) ImageStatus(ctx context.Context, req *runtime.ImageStatusRequest) (*runtime.ImageStatusResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	if c.late > 0 {
		c.late--
		return &runtime.ImageStatusResponse{}, nil
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	record, err := metadata.NewImageStore(c.db).Get(ctx, req.GetImage().GetImage())
	if err != nil {
		return &runtime.ImageStatusResponse{}, nil //nolint:nilerr // an image that is not there is none
	}
	config, err := record.Config(ctx, c.db.ContentStore(), platforms.Default())
	if err != nil {
		return nil, err
	}
	return &runtime.ImageStatusResponse{Image: &runtime.Image{Id: config.Digest.String()}}, nil
}

func (c *cri) ImageFsInfo(context.Context, *runtime.ImageFsInfoRequest) (*runtime.ImageFsInfoResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &runtime.ImageFsInfoResponse{ImageFilesystems: []*runtime.FilesystemUsage{
		{FsId: &runtime.FilesystemIdentifier{Mountpoint: "/var/lib/containerd/" + snapshotType + ".native"}},
	}}, c.failFs
}

type criStatus struct {
	runtime.UnimplementedRuntimeServiceServer

	cri *cri
}

func (s *criStatus) Status(context.Context, *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	s.cri.mu.Lock()
	defer s.cri.mu.Unlock()
	config := s.cri.config
	if config == "" {
		config = "{}"
	}
	return &runtime.StatusResponse{Info: map[string]string{"config": config}}, nil
}

// inK8s is the context in which the tests look into containerd.
func inK8s(t *testing.T) context.Context {
	t.Helper()
	return namespaces.WithNamespace(t.Context(), namespace)
}

// image is what a name leads to.
func (d *testDaemon) image(t *testing.T, name string) images.Image {
	t.Helper()
	record, err := metadata.NewImageStore(d.db).Get(inK8s(t), name)
	must(t, err)
	return record
}

// whole checks that all of an image is there, also after a garbage collection, and
// that nothing else is kept by a lease; it returns the manifest.
func (d *testDaemon) whole(t *testing.T, name string) ocispec.Manifest {
	t.Helper()
	ctx := inK8s(t)
	if left := d.leases(t); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	_, err := d.db.GarbageCollect(ctx)
	must(t, err)
	manifest, err := images.Manifest(ctx, d.db.ContentStore(), d.image(t, name).Target, platforms.Default())
	must(t, err)
	for _, desc := range append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...) {
		data, err := content.ReadBlob(ctx, d.db.ContentStore(), desc)
		if err != nil || digest.FromBytes(data) != desc.Digest {
			t.Errorf("%s: %v", desc.Digest, err)
		}
	}
	if got := len(d.snapshots(t)); got != len(manifest.Layers) {
		t.Errorf("%d snapshots for %d layers", got, len(manifest.Layers))
	}
	return manifest
}

func (d *testDaemon) leases(t *testing.T) []leases.Lease {
	t.Helper()
	all, err := metadata.NewLeaseManager(d.db).List(inK8s(t))
	must(t, err)
	return all
}

// snapshots are those that are committed, and no other is there.
func (d *testDaemon) snapshots(t *testing.T) (all []snapshots.Info) {
	t.Helper()
	must(t, d.db.Snapshotter("native").Walk(inK8s(t), func(_ context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			t.Errorf("%s is left", info.Name)
		}
		all = append(all, info)
		return nil
	}))
	return all
}

// criConfig is CRI's configuration as its status has it.
func criConfig(t *testing.T, config map[string]any) string {
	t.Helper()
	text, err := json.Marshal(config)
	must(t, err)
	return string(text)
}

// brokenFile is a file of configuration that nobody can read.
func brokenFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	must(t, os.WriteFile(file, []byte("version = "), 0o600))
	return file
}
