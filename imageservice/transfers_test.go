package imageservice

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/pkg/imageverifier"
	"github.com/containerd/containerd/v2/plugins"
	_ "github.com/containerd/containerd/v2/plugins/services/streaming"
	_ "github.com/containerd/containerd/v2/plugins/services/transfer"
	_ "github.com/containerd/containerd/v2/plugins/streaming"
	_ "github.com/containerd/containerd/v2/plugins/transfer"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pelletier/go-toml/v2"
)

func init() {
	registry.Register(&plugin.Registration{
		Type: plugins.CRIServicePlugin, ID: "images",
		InitFn: func(*plugin.InitContext) (any, error) { return struct{}{}, nil },
	})
	registry.Register(&plugin.Registration{
		Type: plugins.ImageVerifierPlugin, ID: "test",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			d, _ := ic.Context.Value(daemonKey{}).(*testDaemon)
			return d.v2, nil
		},
	})
}

// transferring is what makes a testDaemon containerd 2: it has containerd's transfer
// service. The zero value unpacks as CRI does here.
type transferring struct {
	// snapshotter is the one that the transfer service unpacks into. Empty means
	// "native", "none" that it unpacks into none.
	snapshotter string
	// configType is the media type of the configurations of images that it unpacks.
	// Empty means those of all.
	configType string
	// downloads, if not zero, is how many it makes at a time.
	downloads int
	// overSocket is set where CRI's settings are others than the transfer service's.
	overSocket bool
	// noTransfers is set if it has no transfer service after all.
	noTransfers bool

	mu sync.Mutex // guards the rest
	// refuse is why images are not taken, with their names, and fail why that cannot be
	// told.
	refuse string
	fail   error
	names  []string
}

// VerifyImage implements imageverifier.ImageVerifier.
func (c *transferring) VerifyImage(_ context.Context, name string, _ ocispec.Descriptor) (*imageverifier.Judgement, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, name)
	return &imageverifier.Judgement{OK: c.refuse == "", Reason: c.refuse}, c.fail
}

// verified are the names of the images whose transfers were to be verified since the last
// call.
func (c *transferring) verified() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.names
	c.names = nil
	return names
}

const transferPlugin = "io.containerd.transfer.v1.local"

// text is the configuration in containerd's file.
func (c *transferring) text() string {
	head := "version = 3\n[plugins.'" + transferPlugin + "']\n"
	if c.downloads > 0 {
		head += fmt.Sprintf("max_concurrent_downloads = %d\n", c.downloads)
	}
	switch c.snapshotter {
	case "none":
		return head + "unpack_config = []\n"
	case "":
		c.snapshotter = "native"
	}
	return head + "[[plugins.'" + transferPlugin + "'.unpack_config]]\nplatform = 'linux/" + goArch + "'\nsnapshotter = '" + c.snapshotter + "'\ndiffer = 'walking'\nconfig_type = '" + c.configType + "'\n"
}

// write writes the configuration into a file.
func (c *transferring) write(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	must(t, os.WriteFile(file, []byte(c.text()), 0o600))
	return file
}

// without reports whether the daemon lacks a plugin.
func (d *testDaemon) without(r *plugin.Registration) bool {
	switch r.Type {
	case plugins.CRIServicePlugin, plugins.ImageVerifierPlugin:
		return d.v2 == nil
	case plugins.TransferPlugin, plugins.StreamingPlugin:
		return d.v2 == nil || d.v2.noTransfers
	case plugins.GRPCPlugin:
		return (r.ID == "transfer" || r.ID == "streaming") && (d.v2 == nil || d.v2.noTransfers)
	}
	return false
}

// configOf returns the configuration of one of the daemon's plugins.
func (d *testDaemon) configOf(t *testing.T, r *plugin.Registration) any {
	t.Helper()
	if r.URI() != transferPlugin {
		return r.Config
	}
	var file struct {
		Plugins map[string]any `toml:"plugins"`
	}
	must(t, toml.Unmarshal([]byte(d.v2.text()), &file))
	text, err := toml.Marshal(file.Plugins[transferPlugin])
	must(t, err)
	config := reflect.New(reflect.TypeOf(r.Config).Elem())
	config.Elem().Set(reflect.ValueOf(r.Config).Elem())
	must(t, toml.Unmarshal(text, config.Interface()))
	return config.Interface()
}
