package imageservice

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/daemon"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/settings"
	"github.com/certsd/containerd-certsd/internal/stranger"
	"github.com/certsd/containerd-certsd/resolver"
)

// Config configures an image service: each key of the file is also a flag of the same
// name with dashes. The tag usage is the flag's help, with the name of its value in
// quotes. [DefaultConfig] sets the defaults named here.
type Config struct {
	// Root lists the certs.d directories, separated as in $PATH. Empty means those of
	// [certsd.DefaultRoots].
	Root string `toml:"root" usage:"search the certs.d directories in 'LIST', separated as in $PATH"`

	resolver.Settings

	// DockerConfig is a config.json of Docker or an auth.json of Podman with
	// credentials, or credential helpers, for registries that the kubelet sends none
	// for. Empty, the default, means none.
	DockerConfig string `toml:"docker_config" usage:"read credentials, and the names of credential helpers, from 'FILE', a config.json of Docker, for registries that the kubelet sends none for"`

	// Registries is "configured", the default, to pull here only from registries with a
	// directory of their own, or "all".
	Registries Registries `toml:"registries" usage:"pull images of 'WHICH' registries: configured (own directory) or all; pass the rest to containerd"`

	// Listen is the address of the socket, unix:PATH. Default:
	// unix:/run/certsd/cri.sock.
	Listen string `toml:"listen" usage:"listen on 'ADDRESS', unix:PATH"`

	// Containerd is the address of containerd's socket. Default:
	// [DefaultContainerd].
	Containerd string `toml:"containerd" usage:"pull into the containerd at 'ADDRESS'"`

	// ImageService is the address of the image service that gets all other calls.
	// Empty, the default, means containerd's.
	ImageService string `toml:"image_service" usage:"pass everything else to the image service at 'ADDRESS', such as one of a snapshotter, instead of containerd"`

	// ContainerdConfig is containerd's configuration file, read for the settings for
	// pulls that containerd does not report. Empty, the default, means none.
	ContainerdConfig string `toml:"containerd_config" usage:"read from 'FILE', the configuration of containerd, how CRI pulls, as far as containerd does not report it"`

	// Snapshotter unpacks images. Empty, the default, means CRI's.
	Snapshotter string `toml:"snapshotter" usage:"unpack images with snapshotter 'NAME' instead of the one of CRI"`

	// SnapshotAnnotations tells the snapshotter about image and layers, even if CRI
	// does not.
	SnapshotAnnotations bool `toml:"snapshot_annotations" usage:"tell the snapshotter about image and layers, as lazy snapshotters need, even if CRI does not"`

	// DiscardUnpackedLayers lets containerd remove unpacked layers, even if CRI does
	// not.
	DiscardUnpackedLayers bool `toml:"discard_unpacked_layers" usage:"let containerd remove unpacked layers, even if CRI does not"`

	// MaxConcurrentDownloads is how many layers of an image are fetched at a time. 0,
	// the default, means as many as CRI, or 3.
	MaxConcurrentDownloads int `toml:"max_concurrent_downloads" usage:"fetch 'N' layers of an image at a time; 0 means as CRI, or 3"`

	// ConcurrentLayerFetchBuffer is the size in bytes of the pieces of a layer that are
	// fetched in parallel. 0, the default, means as CRI, or whole layers.
	ConcurrentLayerFetchBuffer int `toml:"concurrent_layer_fetch_buffer" usage:"fetch pieces of a layer in parallel, of 'BYTES' each; 0 means as CRI, or whole layers"`

	// ImagePullProgressTimeout ends a pull that receives nothing for that long, such as
	// "5m"; "0s" means no limit. Empty, the default, means as CRI, or five minutes.
	ImagePullProgressTimeout string `toml:"image_pull_progress_timeout" usage:"end a pull that receives nothing for 'DURATION', such as 5m; 0s means never; empty means as CRI, or 5m"`

	// SandboxImage is the image of the pods' sandboxes, which containerd would pull by
	// itself: it is pulled at start if its registry is ours. Empty, the default, means
	// CRI's.
	SandboxImage string `toml:"sandbox_image" usage:"pull the sandbox (pause) image 'REF' at start, if certsd pulls from its registry; empty means as CRI"`

	// PinnedImages are further images that the kubelet must not remove, pulled at start
	// like the sandbox image. The default is CRI's.
	PinnedImages []string `toml:"pinned_images" usage:"pull image 'REF' at start, and keep the kubelet from removing it"`

	// Metrics is the address of /metrics, host:port or unix:PATH. Empty, the default,
	// means none.
	Metrics string `toml:"metrics" usage:"serve metrics at 'ADDRESS', host:port or unix:PATH"`

	// StopTimeout is how long a stop waits for pulls under way. Default: ten
	// minutes.
	StopTimeout settings.Duration `toml:"stop_timeout" usage:"when stopped, wait 'DURATION' for pulls under way"`

	// LogLevel is "debug", "info", the default, "warn" or "error".
	LogLevel string `toml:"log_level" usage:"log messages of 'LEVEL': debug, info, warn or error"`
}

// Registries says from which registries images are pulled here.
type Registries string

// The values of [Registries].
const (
	RegistriesConfigured Registries = "configured"
	RegistriesAll        Registries = "all"
)

// DefaultConfig returns the configuration without a file or flags.
func DefaultConfig() *Config {
	return &Config{
		Root:        certsd.DefaultRoots().String(),
		Settings:    resolver.DefaultSettings(),
		Registries:  RegistriesConfigured,
		Listen:      "unix:/run/certsd/cri.sock",
		Containerd:  DefaultContainerd,
		StopTimeout: settings.Duration(10 * time.Minute),
		LogLevel:    "info",
	}
}

// Load reads a file on top of c. Unknown keys and values of a wrong type are errors
// that name file, line and key.
func (c *Config) Load(file string) error { return settings.Load(file, c) }

// Keys returns all keys, in the order of the fields.
func (c *Config) Keys() []settings.Setting { return settings.Of(c) }

// Check returns an error if a value cannot be used.
func (c *Config) Check() error {
	if c.Registries != RegistriesConfigured && c.Registries != RegistriesAll {
		return fmt.Errorf("registries: %q is neither %q nor %q", c.Registries, RegistriesConfigured, RegistriesAll)
	}
	for key, n := range map[string]int{
		"max_concurrent_downloads": c.MaxConcurrentDownloads, "concurrent_layer_fetch_buffer": c.ConcurrentLayerFetchBuffer,
	} {
		if n < 0 {
			return fmt.Errorf("%s: %d is less than 0", key, n)
		}
	}
	if c.StopTimeout <= 0 {
		return errors.New("stop_timeout must be more than 0")
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if _, err := c.pullSettings(); err != nil {
		return err
	}
	if c.ContainerdConfig != "" {
		if _, err := parseDaemonConfig(c.ContainerdConfig); err != nil {
			return fmt.Errorf("containerd_config: %w", err)
		}
	}
	if err := settings.CheckLogLevel(c.LogLevel); err != nil {
		return err
	}
	if err := dockerconfig.CheckPath(c.DockerConfig); err != nil {
		return err
	}
	_, err := c.hosts(resolver.Hooks{})
	return err
}

func (c *Config) checkAddresses() error {
	if network, _, err := daemon.SplitAddress(c.Listen); err != nil || network != "unix" {
		return fmt.Errorf("listen: %q is not unix:PATH", c.Listen)
	}
	if c.Metrics != "" {
		if _, _, err := daemon.SplitAddress(c.Metrics); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	for key, address := range map[string]string{"containerd": c.Containerd, "image_service": c.ImageService} {
		if address == "" {
			continue
		}
		if _, err := socketPath(address); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if _, path, _ := daemon.SplitAddress(c.Listen); samePath(path, address) {
			return fmt.Errorf("%s: %s is the address in listen itself", key, address)
		}
	}
	return nil
}

// pullSettings returns the server's settings for pulls.
func (c *Config) pullSettings() (criSettings, error) {
	s := criSettings{
		DaemonConfig: c.ContainerdConfig,
		Snapshotter:  c.Snapshotter, SnapshotAnnotations: c.SnapshotAnnotations, DiscardUnpackedLayers: c.DiscardUnpackedLayers,
		Downloads: c.MaxConcurrentDownloads, LayerFetchBuffer: c.ConcurrentLayerFetchBuffer,
		Pinned: c.PinnedImages,
	}
	if c.SandboxImage != "" {
		s.Pinned = append([]string{c.SandboxImage}, s.Pinned...)
	}
	for _, image := range s.Pinned {
		if _, err := newRequest(image); err != nil {
			return s, fmt.Errorf("%q: %w", image, err)
		}
	}
	if c.ImagePullProgressTimeout != "" {
		var d settings.Duration
		if err := d.UnmarshalText([]byte(c.ImagePullProgressTimeout)); err != nil {
			return s, fmt.Errorf("image_pull_progress_timeout: %w", err)
		}
		if s.ProgressTimeout = time.Duration(d); d == 0 {
			s.ProgressTimeout = -1
		}
	}
	return s, nil
}

// hosts returns the registries as configured.
func (c *Config) hosts(hooks resolver.Hooks) (*resolver.Hosts, error) {
	hosts, err := c.Hosts("root", c.Root)
	if err != nil {
		return nil, err
	}
	hosts.RefuseStranger, hosts.Hooks = stranger.Refuse, hooks
	return hosts, nil
}

func samePath(path, address string) bool {
	other, err := socketPath(address)
	return err == nil && other == path
}

// instanceOf returns the instance name of a server: its listener's address.
func instanceOf(l net.Listener) string { return strings.TrimPrefix(l.Addr().String(), "unix:") }
