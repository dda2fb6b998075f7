package imageservice

import (
	"maps"
	"time"

	"github.com/distribution/reference"
)

// criSettings are CRI's settings for pulls, as far as containerd does not report
// them. The zero value is CRI's own defaults.
type criSettings struct {
	// DaemonConfig is containerd's configuration file, which is read whenever
	// containerd has started: what it says goes before what containerd tells, and
	// the settings below before both. Empty: none.
	DaemonConfig string
	// Snapshotter unpacks images. Empty: the one that CRI has its images in.
	Snapshotter string
	// RuntimeSnapshotters are those of runtime handlers, where they differ.
	RuntimeSnapshotters map[string]string
	// SnapshotAnnotations tell the snapshotter about image and layers, as lazy
	// ones need it.
	SnapshotAnnotations bool
	// DiscardUnpackedLayers lets containerd remove layers once they are unpacked.
	DiscardUnpackedLayers bool
	// Downloads is how many layers of an image are fetched at a time. Zero: 3.
	Downloads int
	// LayerFetchBuffer is how many bytes of a layer are fetched at a time by
	// requests in parallel. Zero: it is one request.
	LayerFetchBuffer int
	// ProgressTimeout ends a pull that has got nothing for that long. Zero: five
	// minutes; less: never.
	ProgressTimeout time.Duration
	// Pinned are images that the kubelet must not remove. They are pulled at
	// start.
	Pinned []string
	// NoDecryption leaves encrypted layers for containerd to refuse.
	NoDecryption bool
}

// CRI's own defaults.
const (
	defaultDownloads       = 3
	defaultProgressTimeout = 5 * time.Minute
)

// configuration has the settings in effect for pulls.
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
}

// snapshotterFor returns the one of a runtime handler.
func (c *configuration) snapshotterFor(handler string) string {
	if s := c.runtimes[handler]; s != "" {
		return s
	}
	return c.snapshotter
}

// over applies what is set on top of what containerd reports.
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

// normal returns a reference as CRI compares it.
func normal(image string) string {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return image
	}
	return named.String()
}
