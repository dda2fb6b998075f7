package imageservice

import (
	"maps"
	"time"

	"github.com/distribution/reference"
)

// criSettings are the settings for pulls that override CRI's. The zero value overrides
// none.
type criSettings struct {
	// DaemonConfig is containerd's configuration file, read whenever containerd has
	// started; empty means none. It takes precedence over what containerd reports, and
	// the settings below over both.
	DaemonConfig string
	// Snapshotter unpacks images. Empty means the one that CRI uses.
	Snapshotter string
	// RuntimeSnapshotters are the snapshotters of runtime handlers that have another
	// one.
	RuntimeSnapshotters map[string]string
	// SnapshotAnnotations tells the snapshotter about image and layers, as lazy ones
	// need.
	SnapshotAnnotations bool
	// DiscardUnpackedLayers lets containerd remove layers once they are unpacked.
	DiscardUnpackedLayers bool
	// Downloads is how many layers of an image are fetched at a time. Zero means as
	// CRI, or 3.
	Downloads int
	// LayerFetchBuffer is how many bytes of a layer each of several parallel requests
	// fetches. Zero means as CRI, or a single request.
	LayerFetchBuffer int
	// ProgressTimeout ends a pull that receives nothing for that long. Zero means as
	// CRI, or five minutes; less means never.
	ProgressTimeout time.Duration
	// Pinned are images that the kubelet must not remove, pulled at start.
	Pinned []string
	// NoDecryption makes containerd refuse encrypted layers.
	NoDecryption bool
}

// CRI's own defaults.
const (
	defaultDownloads       = 3
	defaultProgressTimeout = 5 * time.Minute
)

// configuration holds the settings in effect for pulls.
type configuration struct {
	snapshotter      string
	runtimes         map[string]string
	annotations      bool
	discard          bool
	downloads        int
	layerFetchBuffer int
	progressTimeout  time.Duration
	pinned           map[string]bool
	decrypts         bool
	transfer         transferService
	// connection is the connection to containerd that they were learned on.
	connection int
}

// snapshotterFor returns the snapshotter for a runtime handler.
func (c *configuration) snapshotterFor(handler string) string {
	if s := c.runtimes[handler]; s != "" {
		return s
	}
	return c.snapshotter
}

// over returns what containerd reports, overridden by what is set.
func (s *criSettings) over(told configuration) configuration {
	c := told
	if s.Snapshotter != "" {
		c.snapshotter = s.Snapshotter
	}
	c.runtimes = map[string]string{}
	maps.Copy(c.runtimes, told.runtimes)
	maps.Copy(c.runtimes, s.RuntimeSnapshotters)
	c.annotations = told.annotations || s.SnapshotAnnotations
	c.discard = told.discard || s.DiscardUnpackedLayers
	c.decrypts = told.decrypts && !s.NoDecryption
	if s.Downloads > 0 {
		c.downloads = s.Downloads
	}
	if s.LayerFetchBuffer > 0 {
		c.layerFetchBuffer = s.LayerFetchBuffer
	}
	if s.ProgressTimeout != 0 {
		c.progressTimeout = max(0, s.ProgressTimeout)
	}
	c.pinned = map[string]bool{}
	maps.Copy(c.pinned, told.pinned)
	for _, image := range s.Pinned {
		c.pinned[normal(image)] = true
	}
	return c
}

// normal returns a reference in the form that CRI compares.
func normal(image string) string {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return image
	}
	return named.String()
}
