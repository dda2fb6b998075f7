//go:build linux

package integration

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// The benchmarks of the image service take turns in PullImage by the CRI of one
// stock containerd, straight, and by certsd cri in front of it.

// BenchmarkCRIPull pulls 1 GiB in four layers, and reports the most memory that
// certsd had, too.
func BenchmarkCRIPull(b *testing.B) { onBenchMachine(b, benchCRIPull, criNeeds("5x")) }

func benchCRIPull(b *testing.B, r *rig) { benchCRI(b, r, benchLayers, benchLayerSize, true) }

// BenchmarkCRILayers pulls an image of many small layers.
func BenchmarkCRILayers(b *testing.B) { onBenchMachine(b, benchCRILayers, criNeeds("9x")) }

func benchCRILayers(b *testing.B, r *rig) { benchCRI(b, r, 40, 64<<10, true) }

// BenchmarkCRIThere pulls an image that is there.
func BenchmarkCRIThere(b *testing.B) { onBenchMachine(b, benchCRIThere, criNeeds("200x")) }

func benchCRIThere(b *testing.B, r *rig) { benchCRI(b, r, 3, 64<<10, false) }

func criNeeds(time string) benchNeeds {
	return benchNeeds{programs: []string{"containerd", "certsd"}, time: time}
}

// benchCRI pulls an image of that many layers by both ways, and removes it after
// each pull if that is wanted.
func benchCRI(b *testing.B, r *rig, layers int, size int64, remove bool) {
	img, err := randomImage(layers, size)
	if err != nil {
		b.Fatal(err)
	}
	if err := push(img); err != nil {
		b.Fatal(err)
	}
	d, err := r.startBenchDaemon("stock")
	if err != nil {
		b.Fatal(err)
	}
	service, err := r.start("cri", "certsd", "cri", "--root", certsDir, "--containerd", d.address, "--log-level", "warn")
	if err != nil {
		b.Fatal(err)
	}
	if err := service.listening("unix", criSocket); err != nil {
		b.Fatal(err)
	}
	stock, certsd := criContender(b, "stock", d.address), criContender(b, "certsd", criSocket)
	if !remove {
		stock.After, certsd.After = nil, nil
	}
	if !remove {
		certsd.Run()
	}
	runs := benchtest.Turns(b, stock, certsd)
	b.ReportMetric(runs.Ratio("certsd", "stock"), "certsd/stock")
	peak, err := service.memory()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(peak, "peak-MiB")
}

// push puts an image where the benchmarks pull it.
func push(img v1.Image) error {
	tag, err := name.NewTag(registryAddr+"/big:1", name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, img)
}
