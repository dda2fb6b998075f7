package check

import (
	"fmt"
	"slices"
)

// criConfig is the part of CRI's image configuration that decides how it pulls.
type criConfig struct {
	Registry struct {
		pathConfig
		Mirrors map[string]any `toml:"mirrors"`
		Configs map[string]any `toml:"configs"`
		Auths   map[string]any `toml:"auths"`
	} `toml:"registry"`
	unpackConfig
	MaxConcurrentDownloads *int `toml:"max_concurrent_downloads"`
	ImagePullWithSyncFs    bool `toml:"image_pull_with_sync_fs"`
	UseLocalImagePull      bool `toml:"use_local_image_pull"`
	// Containerd holds unpackConfig in versions before 3.
	Containerd unpackConfig `toml:"containerd"`
}

type unpackConfig struct {
	DisableSnapshotAnnotations *bool `toml:"disable_snapshot_annotations"`
	DiscardUnpackedLayers      bool  `toml:"discard_unpacked_layers"`
}

// criDownloads is CRI's default number of concurrent layer downloads. With any other,
// CRI pulls by itself.
const criDownloads = 3

// pullsItself returns the keys that make CRI bypass containerd's transfer service, and
// certsd with it: see CheckLocalImagePullConfigs in containerd's internal/cri/config.
func (c *criConfig) pullsItself() []string {
	var keys []string
	add := func(key string, is bool) {
		if is {
			keys = append(keys, key)
		}
	}
	add("use_local_image_pull", c.UseLocalImagePull)
	add("max_concurrent_downloads", c.MaxConcurrentDownloads != nil && *c.MaxConcurrentDownloads != criDownloads)
	add("image_pull_with_sync_fs", c.ImagePullWithSyncFs)
	c.add(add, "")
	c.Containerd.add(add, "containerd.")
	return append(keys, c.deprecated()...)
}

func (c *unpackConfig) add(add func(key string, is bool), prefix string) {
	add(prefix+"discard_unpacked_layers", c.DiscardUnpackedLayers)
	add(prefix+"disable_snapshot_annotations", c.DisableSnapshotAnnotations != nil && !*c.DisableSnapshotAnnotations)
}

// deprecated returns the keys that config_path replaces.
func (c *criConfig) deprecated() []string {
	var keys []string
	for _, key := range []struct {
		name  string
		value map[string]any
	}{{"mirrors", c.Registry.Mirrors}, {"configs", c.Registry.Configs}, {"auths", c.Registry.Auths}} {
		if len(key.value) > 0 {
			keys = append(keys, "registry."+key.name)
		}
	}
	return keys
}

// withoutCRI reports whether the configuration disables CRI.
func (c *containerdConfig) withoutCRI() bool {
	return slices.ContainsFunc(c.Disabled, func(plugin string) bool {
		return plugin == "io.containerd.grpc.v1.cri" || plugin == "io.containerd.cri.v1.images"
	})
}

// ofCRI finds settings that keep CRI from starting or, if certsd is to pull, from using
// it.
func (c *containerdConfig) ofCRI(file string, certsd bool) []Finding {
	file = c.fileOf(file, func(part *containerdConfig) bool {
		return len(part.Plugins.CRI3.pullsItself()) > 0 || c.Version < 3 && len(part.Plugins.CRI2.pullsItself()) > 0
	})
	findings := c.Plugins.CRI3.findings(file, "io.containerd.cri.v1.images", certsd)
	if c.Version < 3 {
		findings = append(findings, c.Plugins.CRI2.findings(file, "io.containerd.grpc.v1.cri", certsd)...)
	}
	return findings
}

func (c *criConfig) findings(file, section string, certsd bool) []Finding {
	var findings []Finding
	migrate := "certsd migrate --config " + shellWord(file)
	if keys := c.deprecated(); len(keys) > 0 {
		findings = append(findings, Finding{
			Code: DeprecatedKeys, Where: file,
			Message: "config_path replaces " + joined(keys), Next: migrate,
		})
	}
	if len(c.Registry.Mirrors) > 0 && c.Registry.ConfigPath != "" {
		findings = append(findings, Finding{
			Code: CRIDoesNotStart, Where: file,
			Message: "registry.mirrors beside config_path: CRI does not start", Next: "remove registry.mirrors, once what it says is in hosts.toml: " + migrate,
		})
	}
	if keys := c.pullsItself(); certsd && len(keys) > 0 {
		findings = append(findings, Finding{
			Code: CRIPullsItself, Where: file,
			Message: "CRI pulls by itself, without certsd, because of " + joined(keys), Next: nextForCRI(section, keys),
		})
	}
	return findings
}

func nextForCRI(section string, keys []string) string {
	next := fmt.Sprintf("remove from [plugins.%q]: %s", section, joined(keys))
	if slices.Contains(keys, "max_concurrent_downloads") {
		next += `; set the number of layers at a time in [plugins."io.containerd.transfer.v1.certsd"]`
	}
	return next
}
