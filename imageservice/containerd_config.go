package imageservice

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/configfiles"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

const (
	// maxConfig bounds a file of containerd's configuration in bytes, maxImports the
	// number of files that it may import.
	maxConfig  = 4 << 20
	maxImports = 64
)

// daemonConfig is the part of containerd's configuration that says how CRI pulls:
// Images is CRI's section in containerd 2, CRI the one in containerd 1.
type daemonConfig struct {
	Imports []string `toml:"imports"`
	Plugins struct {
		Images *imagesConfig `toml:"io.containerd.cri.v1.images"`
		CRI    *imagesConfig `toml:"io.containerd.grpc.v1.cri"`
		// Old is CRI's section in the first version of the file.
		Old *imagesConfig `toml:"cri"`
		// Transfer holds the keys for pulls that CRI leaves to the transfer service.
		Transfer *transferServiceConfig `toml:"io.containerd.transfer.v1.local"`
	} `toml:"plugins"`
}

type transferConfig struct {
	Downloads        *int `toml:"max_concurrent_downloads"`
	LayerFetchBuffer *int `toml:"concurrent_layer_fetch_buffer"`
}

type transferServiceConfig struct {
	transferConfig
	// Unpack lists what it unpacks into; nil means containerd's default.
	Unpack *[]struct {
		Snapshotter string `toml:"snapshotter"`
	} `toml:"unpack_config"`
}

type unpackConfig struct {
	Snapshotter        *string `toml:"snapshotter"`
	DisableAnnotations *bool   `toml:"disable_snapshot_annotations"`
	Discard            *bool   `toml:"discard_unpacked_layers"`
}

type imagesConfig struct {
	unpackConfig
	transferConfig
	ProgressTimeout *string           `toml:"image_pull_progress_timeout"`
	SandboxImage    string            `toml:"sandbox_image"`
	PinnedImages    map[string]string `toml:"pinned_images"`
	Decryption      struct {
		KeyModel *string `toml:"key_model"`
	} `toml:"image_decryption"`
	RuntimePlatforms map[string]struct {
		Snapshotter string `toml:"snapshotter"`
	} `toml:"runtime_platforms"`
	// Containerd holds the keys of unpackConfig in containerd 1.
	Containerd unpackConfig `toml:"containerd"`
}

// readDaemonConfig reads containerd's configuration, and what it imports, over c. CRI's
// keys go before the transfer service's in whichever files they are.
func (c *configuration) readDaemonConfig(file string) error {
	var cri []func() error
	err := configfiles.Walk([]string{file}, maxImports, func(path string) ([]string, error) {
		config, err := parseDaemonConfig(path)
		if err != nil {
			return nil, err
		}
		config.Plugins.Transfer.over(c)
		cri = append(cri, func() error {
			if err := config.over(c); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			return nil
		})
		var imports []string
		for _, pattern := range config.Imports {
			found, err := importedBy(path, pattern)
			if err != nil {
				return nil, fmt.Errorf("%s: imports: %w", path, err)
			}
			imports = append(imports, found...)
		}
		return imports, nil
	})
	if errors.As(err, new(*configfiles.LimitError)) {
		return fmt.Errorf("%s imports more than %d files", file, maxImports)
	}
	for _, over := range cri {
		if err == nil {
			err = over()
		}
	}
	return err
}

// importedBy returns the files that a pattern in a file imports. It leaves missing
// files for containerd to report.
func importedBy(file, pattern string) ([]string, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	files, _, err := configfiles.Resolve(file, []string{pattern})
	return slices.DeleteFunc(files, func(file string) bool {
		_, err := os.Stat(file)
		return err != nil
	}), err
}

func parseDaemonConfig(file string) (*daemonConfig, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfig {
		return nil, fmt.Errorf("%s is not a configuration file", file)
	}
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	var config daemonConfig
	if err := toml.Unmarshal(data, &config); err != nil {
		wrong := tomlpos.Syntax(err)
		return nil, fmt.Errorf("%s: %s", wrong.At(file), wrong.Text)
	}
	return &config, nil
}

// over applies CRI's keys in a file on top of c. If CRI leaves pulls to the transfer
// service, as it does unless one of its own keys says otherwise, the keys of that service
// apply.
func (d *daemonConfig) over(c *configuration) error {
	for _, s := range []*imagesConfig{d.Plugins.Old, d.Plugins.CRI, d.Plugins.Images} {
		if s == nil {
			continue
		}
		if err := s.over(c); err != nil {
			return err
		}
	}
	return nil
}

// over applies the keys to CRI's pulls, and notes them as the transfer service's own.
func (t *transferServiceConfig) over(c *configuration) {
	if t == nil {
		return
	}
	t.transferConfig.over(c)
	if t.Downloads != nil && *t.Downloads > 0 {
		c.transfer.downloads = *t.Downloads
	}
	if t.LayerFetchBuffer != nil && *t.LayerFetchBuffer >= 0 {
		c.transfer.layerFetchBuffer = *t.LayerFetchBuffer
	}
	if t.Unpack == nil {
		return
	}
	c.transfer.snapshotters = nil
	for _, u := range *t.Unpack {
		c.transfer.snapshotters = append(c.transfer.snapshotters, u.Snapshotter)
	}
}

func (t *transferConfig) over(c *configuration) {
	if t.Downloads != nil && *t.Downloads > 0 {
		c.downloads = *t.Downloads
	}
	if t.LayerFetchBuffer != nil && *t.LayerFetchBuffer >= 0 {
		c.layerFetchBuffer = *t.LayerFetchBuffer
	}
}

// underTransfer lets the transfer service's own keys apply where CRI's have their default
// values, which containerd writes into a configuration of its own: only others make CRI
// pull itself.
func (c *configuration) underTransfer() {
	if c.downloads == defaultDownloads {
		c.downloads = c.transfer.downloads
	}
	if c.layerFetchBuffer == 0 {
		c.layerFetchBuffer = c.transfer.layerFetchBuffer
	}
}

func (s *imagesConfig) over(c *configuration) error {
	s.transferConfig.over(c)
	if c.transfer.there {
		c.underTransfer()
	}
	s.unpackConfig.over(c)
	s.Containerd.over(c)
	if s.ProgressTimeout != nil {
		timeout, err := time.ParseDuration(*s.ProgressTimeout)
		if err != nil {
			return fmt.Errorf("image_pull_progress_timeout: %w", err)
		}
		c.progressTimeout = timeout
	}
	if s.SandboxImage != "" {
		c.pinned[normal(s.SandboxImage)] = true
	}
	for _, image := range s.PinnedImages {
		c.pinned[normal(image)] = true
	}
	if s.Decryption.KeyModel != nil {
		c.decrypts = *s.Decryption.KeyModel == keyModelNode
	}
	for name, p := range s.RuntimePlatforms {
		if p.Snapshotter != "" {
			c.runtimes[name] = p.Snapshotter
		}
	}
	return nil
}

func (u *unpackConfig) over(c *configuration) {
	if u.Snapshotter != nil && *u.Snapshotter != "" {
		c.snapshotter = *u.Snapshotter
	}
	if u.DisableAnnotations != nil {
		c.annotations = !*u.DisableAnnotations
	}
	if u.Discard != nil {
		c.discard = *u.Discard
	}
}
