//go:build linux

package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// The image of BenchmarkPull: 1 GiB in four layers of random bytes, which are
// not compressed, so that pulling is not measured by the speed of gunzip.
const (
	benchLayers    = 4
	benchLayerSize = 256 << 20
)

// BenchmarkPull takes turns in pulling 1 GiB with "ctr images pull" through the
// plugin and through stock containerd: the same binary twice, side by side,
// against the same nginx and docker-registry. The image and its content are
// removed after each pull.
func BenchmarkPull(b *testing.B) { onBenchMachine(b, benchPull, pullNeeds) }

// Each round takes some 15 seconds.
var pullNeeds = benchNeeds{programs: []string{"containerd", "ctr"}, time: "5x"}

func benchPull(b *testing.B, r *rig) {
	img, err := randomImage(benchLayers, benchLayerSize)
	if err != nil {
		b.Fatal(err)
	}
	tag, err := name.NewTag(registryAddr+"/big:1", name.Insecure)
	if err != nil {
		b.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		b.Fatal(err)
	}
	contender := func(name string) benchtest.Contender {
		d, err := r.startBenchDaemon(name)
		if err != nil {
			b.Fatal(err)
		}
		return benchtest.Contender{
			Name:  name,
			Run:   func() { d.ctr(b, "images", "pull", "--hosts-dir", certsDir, benchHost+"/big:1") },
			After: func() { d.ctr(b, "images", "rm", "--sync", benchHost+"/big:1") },
		}
	}
	runs := benchtest.Turns(b, contender("stock"), contender("certsd"))
	b.ReportMetric(runs.Ratio("certsd", "stock"), "certsd/stock")
	b.ReportMetric(benchLayers*benchLayerSize/1e6/(runs.Median("certsd")/1e9), "certsd-MB/s")
}

// benchDaemon is a containerd with an address and directories of its own.
type benchDaemon struct{ address, config string }

// startBenchDaemon starts bin/containerd with the configuration NAME.toml.
func (r *rig) startBenchDaemon(name string) (*benchDaemon, error) {
	text, err := os.ReadFile(filepath.Join("testdata", name+".toml"))
	if err != nil {
		return nil, err
	}
	return r.startBenchDaemonWith(name, string(text))
}

// startBenchDaemonWith starts bin/containerd with a configuration that says
// neither where its directories nor where its socket are.
func (r *rig) startBenchDaemonWith(name, text string) (*benchDaemon, error) {
	d := &benchDaemon{address: filepath.Join(runDir, name, "containerd.sock")}
	// Root and state stand before the first table; TOML has an array of it.
	config, err := r.write(name+".toml", fmt.Sprintf("root = %q\nstate = %q\n%s\n[grpc]\n  address = %q\n",
		filepath.Join(stateDir, name), filepath.Join(runDir, name), text, d.address))
	if err != nil {
		return nil, err
	}
	d.config = config
	running, err := r.start(name, "containerd", "--config", config)
	if err != nil {
		return nil, err
	}
	return d, running.listening("unix", d.address)
}

// ctr runs the client.
func (d *benchDaemon) ctr(b *testing.B, args ...string) {
	b.Helper()
	path, err := lookPath("ctr")
	if err != nil {
		b.Fatal(err)
	}
	out, err := exec.CommandContext(b.Context(), path, append([]string{"--address", d.address}, args...)...).CombinedOutput()
	if err != nil {
		b.Fatalf("ctr %v: %v\n%s", args, err, out[max(0, len(out)-2000):])
	}
}

// randomImage is an image whose layers hold a file of random bytes each.
func randomImage(layers int, size int64) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for i := range layers {
		layer := &tarLayer{name: fmt.Sprintf("random-%d", i), seed: byte(i), size: size}
		if err := layer.sum(); err != nil {
			return nil, err
		}
		var err error
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return platform(img)
}

// tarLayer is a v1.Layer that is not compressed: a tar of one file of random
// bytes, the same for the same seed.
type tarLayer struct {
	name   string
	seed   byte
	size   int64
	digest v1.Hash
	length int64
}

func (l *tarLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *tarLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *tarLayer) Size() (int64, error)                 { return l.length, nil }
func (l *tarLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
func (l *tarLayer) Compressed() (io.ReadCloser, error)   { return l.open() }
func (l *tarLayer) Uncompressed() (io.ReadCloser, error) { return l.open() }

func (l *tarLayer) open() (io.ReadCloser, error) {
	var head bytes.Buffer
	err := tar.NewWriter(&head).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: l.name, Mode: 0o644, Size: l.size})
	if err != nil {
		return nil, err
	}
	body := io.LimitReader(rand.NewChaCha8([32]byte{l.seed}), l.size)
	// Two empty blocks end a tar; the file needs no padding if it fills its own.
	return io.NopCloser(io.MultiReader(&head, body, bytes.NewReader(make([]byte, 2*tarBlock)))), nil
}

const tarBlock = 512

// sum finds out digest and length.
func (l *tarLayer) sum() error {
	if l.size%tarBlock != 0 {
		return fmt.Errorf("a file of %d bytes needs padding", l.size)
	}
	r, err := l.open()
	if err != nil {
		return err
	}
	l.digest, l.length, err = v1.SHA256(r)
	return err
}
