//go:build linux

package integration

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

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
	contender := func(name, address string) benchtest.Contender {
		conn, err := grpc.NewClient("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		images := runtime.NewImageServiceClient(conn)
		image := &runtime.ImageSpec{Image: benchHost + "/big:1"}
		c := benchtest.Contender{Name: name, Run: func() {
			if _, err := images.PullImage(b.Context(), &runtime.PullImageRequest{Image: image}); err != nil {
				b.Fatal(err)
			}
		}}
		if remove {
			c.After = func() {
				if _, err := images.RemoveImage(b.Context(), &runtime.RemoveImageRequest{Image: image}); err != nil {
					b.Fatal(err)
				}
			}
		}
		return c
	}
	stock, certsd := contender("stock", d.address), contender("certsd", criSocket)
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
