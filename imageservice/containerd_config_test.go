package imageservice

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTransferServiceInTheConfiguration: its keys are CRI's unless CRI has others than by
// default, which make it pull itself.
func TestTransferServiceInTheConfiguration(t *testing.T) {
	t.Parallel()
	const (
		transfer = "[plugins.'io.containerd.transfer.v1.local']\n"
		cri      = "[plugins.'io.containerd.cri.v1.images']\n"
		byItself = cri + "max_concurrent_downloads = 3\nconcurrent_layer_fetch_buffer = 0\n" // as containerd writes it
	)
	for name, tt := range map[string]struct {
		text              string
		containerd1       bool
		downloads, buffer int // in effect
		// theirs are the transfer service's own.
		theirs, theirBuffer int
		snapshotters        []string
		suits               bool
	}{
		"nothing":                  {text: "", downloads: 3, theirs: 3, snapshotters: []string{"overlayfs"}, suits: true},
		"as containerd writes it":  {text: byItself + transfer + "max_concurrent_downloads = 3\n", downloads: 3, theirs: 3, snapshotters: []string{"overlayfs"}, suits: true},
		"the service's":            {text: transfer + "max_concurrent_downloads = 7\nconcurrent_layer_fetch_buffer = 9\n", downloads: 7, buffer: 9, theirs: 7, theirBuffer: 9, snapshotters: []string{"overlayfs"}},
		"before CRI's by default":  {text: transfer + "max_concurrent_downloads = 7\n" + byItself, downloads: 7, theirs: 7, snapshotters: []string{"overlayfs"}, suits: true},
		"after CRI's by default":   {text: byItself + transfer + "max_concurrent_downloads = 7\n", downloads: 7, theirs: 7, snapshotters: []string{"overlayfs"}, suits: true},
		"its pieces, by default":   {text: byItself + transfer + "concurrent_layer_fetch_buffer = 9\n", downloads: 3, buffer: 9, theirs: 3, theirBuffer: 9, snapshotters: []string{"overlayfs"}},
		"CRI's":                    {text: cri + "max_concurrent_downloads = 5\n", downloads: 5, theirs: 3, snapshotters: []string{"overlayfs"}},
		"CRI's before the service": {text: transfer + "max_concurrent_downloads = 7\n" + cri + "max_concurrent_downloads = 5\n", downloads: 5, theirs: 7, snapshotters: []string{"overlayfs"}},
		"CRI's pieces":             {text: cri + "concurrent_layer_fetch_buffer = 9\n", downloads: 3, buffer: 9, theirs: 3, snapshotters: []string{"overlayfs"}},
		"the same":                 {text: transfer + "max_concurrent_downloads = 5\n" + cri + "max_concurrent_downloads = 5\n", downloads: 5, theirs: 5, snapshotters: []string{"overlayfs"}, suits: true},
		"containerd 1":             {text: transfer + "max_concurrent_downloads = 7\n[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 3\n", containerd1: true, downloads: 3, theirs: 7, snapshotters: []string{"overlayfs"}},
		"none that can be":         {text: transfer + "max_concurrent_downloads = 0\nconcurrent_layer_fetch_buffer = -1\n", downloads: 3, theirs: 3, snapshotters: []string{"overlayfs"}, suits: true},
		"one snapshotter":          {text: transfer + "[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\nplatform = 'linux'\nsnapshotter = 'native'\n", downloads: 3, theirs: 3, snapshotters: []string{"native"}},
		"two":                      {text: transfer + "unpack_config = [{snapshotter = 'native'}, {snapshotter = 'overlayfs'}]\n", downloads: 3, theirs: 3, snapshotters: []string{"native", "overlayfs"}, suits: true},
		"no snapshotter":           {text: transfer + "unpack_config = []\n", downloads: 3, theirs: 3},
	} {
		c := untold()
		c.snapshotter, c.transfer.there = "overlayfs", !tt.containerd1
		file := filepath.Join(t.TempDir(), "config.toml")
		must(t, os.WriteFile(file, []byte(tt.text), 0o600))
		must(t, c.readDaemonConfig(file))
		if c.downloads != tt.downloads || c.layerFetchBuffer != tt.buffer || c.transfer.downloads != tt.theirs || c.transfer.layerFetchBuffer != tt.theirBuffer {
			t.Errorf("%s: %d downloads, pieces of %d; its own %d, %d", name, c.downloads, c.layerFetchBuffer, c.transfer.downloads, c.transfer.layerFetchBuffer)
		}
		if !slices.Equal(c.transfer.snapshotters, tt.snapshotters) {
			t.Errorf("%s: unpacks into %q", name, c.transfer.snapshotters)
		}
		if got := c.suits("overlayfs"); got != tt.suits {
			t.Errorf("%s: suits is %t", name, got)
		}
	}
}

// TestKeysInSeveralFiles: CRI's keys make it pull itself wherever the transfer service's
// are.
func TestKeysInSeveralFiles(t *testing.T) {
	t.Parallel()
	const (
		transfer = "[plugins.'io.containerd.transfer.v1.local']\nmax_concurrent_downloads = 7\n"
		cri      = "[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 5\n"
		again    = "[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 3\n"
	)
	for name, tt := range map[string]struct {
		files     [3]string
		downloads int
	}{
		"the service's comes last":  {[3]string{cri, transfer, ""}, 5},
		"the service's comes first": {[3]string{transfer, cri, ""}, 5},
		"CRI's is taken back":       {[3]string{cri, transfer, again}, 7},
		"CRI's is by default":       {[3]string{again, transfer, ""}, 7},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "config.toml")
		must(t, os.WriteFile(file, []byte("imports = ['1.toml', '2.toml']\n"+tt.files[0]), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "1.toml"), []byte(tt.files[1]), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "2.toml"), []byte(tt.files[2]), 0o600))
		c := untold()
		c.transfer.there = true
		must(t, c.readDaemonConfig(file))
		if c.downloads != tt.downloads || c.transfer.downloads != 7 {
			t.Errorf("%s: %d downloads, the service's %d", name, c.downloads, c.transfer.downloads)
		}
	}
}
