package imageservice

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/google/go-cmp/cmp"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func untold() configuration {
	return configuration{
		downloads: defaultDownloads, progressTimeout: defaultProgressTimeout, decrypts: true,
		pinned: map[string]bool{}, runtimes: map[string]string{}, transfer: defaultTransferService(),
	}
}

// TestStatusOf17 has all of the configuration, in the words of containerd 1.7.
func TestStatusOf17(t *testing.T) {
	t.Parallel()
	c := untold()
	must(t, c.fromStatus(`{"containerd":{"snapshotter":"stargz","discardUnpackedLayers":true,"disableSnapshotAnnotations":false,
		"runtimes":{"runc":{"snapshotter":""},"kata":{"snapshotter":"devmapper"}}},
		"sandboxImage":"registry.test/pause:3","maxConcurrentDownloads":5,"imagePullProgressTimeout":"1m0s","imageDecryption":{"keyModel":""}}`))
	want := configuration{
		snapshotter: "stargz", runtimes: map[string]string{"kata": "devmapper"}, annotations: true, discard: true, downloads: 5,
		progressTimeout: time.Minute, pinned: map[string]bool{"registry.test/pause:3": true}, transfer: defaultTransferService(),
	}
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(configuration{}, transferService{})); diff != "" {
		t.Error(diff)
	}
	for handler, want := range map[string]string{"": "stargz", "runc": "stargz", "kata": "devmapper", "other": "stargz"} {
		if got := c.snapshotterFor(handler); got != want {
			t.Errorf("%q: %s", handler, got)
		}
	}
}

// TestStatusOf2 has the runtimes only.
func TestStatusOf2(t *testing.T) {
	t.Parallel()
	c, want := untold(), untold()
	must(t, c.fromStatus(`{"containerd":{"defaultRuntimeName":"runc","runtimes":{"runc":{"snapshotter":""},"kata":{"snapshotter":"blockfile"}}}}`))
	want.runtimes["kata"] = "blockfile"
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(configuration{}, transferService{})); diff != "" {
		t.Error(diff)
	}
}

func TestSnapshotterIsFoundByItsDirectory(t *testing.T) {
	t.Parallel()
	plugins := &introspection.PluginsResponse{Plugins: []*introspection.Plugin{
		{Type: snapshotType, ID: "stargz", Exports: map[string]string{"root": "/var/lib/stargz"}},
		{Type: "io.containerd.other.v1", ID: "other", Exports: map[string]string{"root": "/var/lib/other"}},
		{Type: snapshotType, ID: "none"},
	}}
	for dir, want := range map[string]string{
		"/var/lib/stargz": "stargz",
		"/var/lib/containerd/io.containerd.snapshotter.v1.native": "native",
		"/var/lib/other": "", "/elsewhere": "", "": "",
	} {
		fs := []*runtime.FilesystemUsage{{FsId: &runtime.FilesystemIdentifier{Mountpoint: dir}}, {FsId: &runtime.FilesystemIdentifier{Mountpoint: "/var/lib/stargz"}}}
		if got := snapshotterOf(fs, plugins); got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	if got := snapshotterOf(nil, plugins); got != "" {
		t.Errorf("without any: %q", got)
	}
}

func TestDaemonConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	must(t, os.Mkdir(filepath.Join(dir, "conf.d"), 0o755))
	write("conf.d/1.toml", `
version = 3
[plugins."io.containerd.cri.v1.images"]
  discard_unpacked_layers = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "other.test/pause:3"`)
	for name, tt := range map[string]struct {
		text string
		want func(*configuration)
	}{
		"empty": {"", func(*configuration) {}},
		"version 3": {`
version = 3
imports = ["conf.d/*.toml"]
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
  disable_snapshot_annotations = false
  image_pull_progress_timeout = "0s"
  concurrent_layer_fetch_buffer = 1048576
  [plugins."io.containerd.cri.v1.images".runtime_platforms.kata]
    snapshotter = "blockfile"
  [plugins."io.containerd.cri.v1.images".image_decryption]
    key_model = ""
[plugins."io.containerd.transfer.v1.local"]
  max_concurrent_downloads = 7`, func(c *configuration) {
			c.snapshotter, c.annotations, c.progressTimeout, c.layerFetchBuffer, c.downloads = "native", true, 0, 1<<20, 7
			c.transfer.downloads = 7
			c.runtimes["kata"], c.decrypts, c.discard, c.pinned["other.test/pause:3"] = "blockfile", false, true, true
		}},
		"version 2": {`
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "busybox"
  max_concurrent_downloads = 2
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "stargz"
    disable_snapshot_annotations = true
    discard_unpacked_layers = true`, func(c *configuration) {
			c.pinned["docker.io/library/busybox:latest"], c.downloads, c.snapshotter, c.discard = true, 2, "stargz", true
		}},
	} {
		got, want := untold(), untold()
		tt.want(&want)
		must(t, got.readDaemonConfig(write("config.toml", tt.text)))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(configuration{}, transferService{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for text, want := range map[string]string{
		"version = ": ":1: ",
		"[plugins.\"io.containerd.cri.v1.images\"]\nimage_pull_progress_timeout = 'soon'": "image_pull_progress_timeout: ",
		"imports = ['[']": "imports: ",
	} {
		c := untold()
		file := write("bad.toml", text)
		if err := c.readDaemonConfig(file); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// Of imports that are not there containerd tells, and of too many.
	c := untold()
	must(t, c.readDaemonConfig(write("lacks.toml", "imports = ['none.toml', 'none.d/*.toml']")))
	must(t, os.Mkdir(filepath.Join(dir, "many.d"), 0o755))
	for i := range maxImports {
		write(fmt.Sprintf("many.d/%d.toml", i), "")
	}
	if err := c.readDaemonConfig(write("many.toml", "imports = ['many.d/*.toml']")); err == nil || !strings.Contains(err.Error(), "many.toml imports more than 64 files") {
		t.Errorf("%v", err)
	}
	if err := c.readDaemonConfig(dir); err == nil || !strings.Contains(err.Error(), "is not a configuration file") {
		t.Errorf("%v", err)
	}
	if err := c.readDaemonConfig(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestSettingsGoBeforeWhatContainerdTells(t *testing.T) {
	t.Parallel()
	told := untold()
	told.snapshotter, told.runtimes["kata"], told.pinned["registry.test/pause:3"] = "overlayfs", "devmapper", true
	s := criSettings{
		Snapshotter: "native", RuntimeSnapshotters: map[string]string{"gvisor": "erofs"}, DiscardUnpackedLayers: true,
		Downloads: 9, LayerFetchBuffer: 1, ProgressTimeout: -1, Pinned: []string{"busybox"}, NoDecryption: true,
	}
	got := s.over(told)
	want := configuration{
		snapshotter: "native", runtimes: map[string]string{"kata": "devmapper", "gvisor": "erofs"}, discard: true, downloads: 9, layerFetchBuffer: 1,
		transfer: defaultTransferService(),
		pinned:   map[string]bool{"registry.test/pause:3": true, "docker.io/library/busybox:latest": true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(configuration{}, transferService{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(told, (&criSettings{}).over(told), cmp.AllowUnexported(configuration{}, transferService{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzDaemonConfig(f *testing.F) {
	f.Add("version = 3\n[plugins.'io.containerd.cri.v1.images']\npinned_images = {a = 'b'}")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "config.toml")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if config, err := parseDaemonConfig(file); err == nil {
			c := untold()
			_ = config.over(&c)
		} else if !strings.HasPrefix(err.Error(), file+":") {
			t.Errorf("%q: %v names no file", text, err)
		}
	})
}
