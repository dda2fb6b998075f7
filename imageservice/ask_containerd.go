package imageservice

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/services/introspection/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// facts keeps what containerd has reported about its configuration, which cannot change
// without a restart, which ends the connection.
type facts struct {
	// mu guards the rest.
	mu    sync.Mutex
	known *configuration
	// connection counts connections.
	connection int
}

// forget drops everything when there is a new connection.
func (f *facts) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = nil
	f.connection++
}

func (f *facts) get() (*configuration, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known, f.connection
}

// put keeps what containerd reported on a connection, zero for the call that makes the
// first one, unless there has been a new connection since.
func (f *facts) put(c configuration, connection int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection == max(1, connection) {
		f.known = &c
	}
}

// learn returns CRI's settings for pulls.
func (d *target) learn(ctx context.Context) (configuration, error) {
	known, connection := d.facts.get()
	// Without a connection it may be another containerd by now.
	if known != nil && d.GetState() == connectivity.Ready {
		return *known, nil
	}
	told, err := d.told(ctx)
	if err != nil {
		return configuration{}, err
	}
	if file := d.settings.DaemonConfig; file != "" {
		if err := told.readDaemonConfig(file); err != nil {
			return configuration{}, fmt.Errorf("containerd's configuration: %w", err)
		}
	}
	c := d.settings.over(told)
	c.connection = max(1, connection)
	d.facts.put(c, connection)
	return c, nil
}

// told returns what containerd reports about its CRI. How much depends on the
// version: everything in 1.7, the runtimes' snapshotters in all.
func (d *target) told(ctx context.Context) (configuration, error) {
	c := configuration{downloads: defaultDownloads, progressTimeout: defaultProgressTimeout, decrypts: true, pinned: map[string]bool{}, runtimes: map[string]string{}, transfer: defaultTransferService()}
	answer, err := runtime.NewRuntimeServiceClient(d.ClientConn).Status(ctx, &runtime.StatusRequest{Verbose: true})
	if status.Code(err) == codes.Unimplemented {
		return c, status.Errorf(codes.FailedPrecondition, "containerd at %s has no CRI: it is disabled in its configuration, or did not start: see its log", d.address)
	}
	if err != nil {
		return c, fmt.Errorf("asking CRI for its status: %w", err)
	}
	if err := c.fromStatus(answer.GetInfo()["config"]); err != nil {
		d.warn("CRI's configuration in its status cannot be read: %w", err)
	}
	plugins, err := d.client.IntrospectionService().Plugins(ctx)
	if err != nil {
		return c, fmt.Errorf("asking containerd for its plugins: %w", err)
	}
	c.fromExports(plugins)
	if c.snapshotter == "" {
		fs, err := runtime.NewImageServiceClient(d.ClientConn).ImageFsInfo(ctx, &runtime.ImageFsInfoRequest{})
		if err != nil {
			return c, fmt.Errorf("asking CRI for its snapshotter: %w", err)
		}
		c.snapshotter = snapshotterOf(fs.GetImageFilesystems(), plugins)
	}
	return c, nil
}

// statusConfig is the part of the configuration in CRI's verbose status that concerns
// pulls. containerd 1.7 reports all of it, 2 only the runtimes.
type statusConfig struct {
	Containerd struct {
		Snapshotter                string `json:"snapshotter"`
		DiscardUnpackedLayers      bool   `json:"discardUnpackedLayers"`
		DisableSnapshotAnnotations *bool  `json:"disableSnapshotAnnotations"`
		Runtimes                   map[string]struct {
			Snapshotter string `json:"snapshotter"`
		} `json:"runtimes"`
	} `json:"containerd"`
	SandboxImage           string `json:"sandboxImage"`
	MaxConcurrentDownloads int    `json:"maxConcurrentDownloads"`
	ProgressTimeout        string `json:"imagePullProgressTimeout"`
	Decryption             *struct {
		KeyModel string `json:"keyModel"`
	} `json:"imageDecryption"`
}

// keyModelNode is CRI's only key model: the node holds the keys.
const keyModelNode = "node"

func (c *configuration) fromStatus(text string) error {
	var s statusConfig
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return jsonwords.Of(err)
	}
	c.snapshotter = s.Containerd.Snapshotter
	c.discard = s.Containerd.DiscardUnpackedLayers
	c.annotations = s.Containerd.DisableSnapshotAnnotations != nil && !*s.Containerd.DisableSnapshotAnnotations
	for name, r := range s.Containerd.Runtimes {
		if r.Snapshotter != "" {
			c.runtimes[name] = r.Snapshotter
		}
	}
	if s.SandboxImage != "" {
		c.pinned[normal(s.SandboxImage)] = true
	}
	if s.MaxConcurrentDownloads > 0 {
		c.downloads = s.MaxConcurrentDownloads
	}
	if s.ProgressTimeout != "" {
		timeout, err := time.ParseDuration(s.ProgressTimeout)
		if err != nil {
			return err
		}
		c.progressTimeout = timeout
	}
	if s.Decryption != nil {
		c.decrypts = s.Decryption.KeyModel == keyModelNode
	}
	return nil
}

// fromExports reads the setting that containerd 2.4 exports. The plugin that does is in
// containerd 2 only, whose transfer service takes a directory of hosts with each pull.
func (c *configuration) fromExports(plugins *introspection.PluginsResponse) {
	for _, p := range plugins.GetPlugins() {
		if p.GetType() == "io.containerd.cri.v1" && p.GetID() == "images" {
			c.discard = c.discard || p.GetExports()["DiscardUnpackedLayers"] == "true"
			c.transfer.there = p.GetInitErr() == nil
		}
	}
}

// snapshotterOf returns the snapshotter whose directory holds CRI's images: the first
// that CRI reports. If no plugin reports that directory as its own, the directory's
// name contains the snapshotter's. Empty means containerd's default.
func snapshotterOf(filesystems []*runtime.FilesystemUsage, plugins *introspection.PluginsResponse) string {
	if len(filesystems) == 0 {
		return ""
	}
	dir := filesystems[0].GetFsId().GetMountpoint()
	for _, p := range plugins.GetPlugins() {
		if p.GetType() == snapshotType && dir != "" && p.GetExports()["root"] == dir {
			return p.GetID()
		}
	}
	if name, ok := strings.CutPrefix(path.Base(dir), snapshotType+"."); ok {
		return name
	}
	return ""
}

const snapshotType = "io.containerd.snapshotter.v1"
