//go:build linux

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
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

// BenchmarkCRILink pulls the same from a registry at the other end of a link of 1
// Gbit/s, which tc makes of loopback by a class of htb. On loopback alone the
// registry, containerd and certsd cri want more processors than two, and what is
// measured is what all of them take; nodes have their registry elsewhere.
func BenchmarkCRILink(b *testing.B) {
	onBenchMachine(b, benchCRIPull, benchNeeds{programs: []string{"containerd", "certsd", "tc"}, time: "3x", link: "1gbit"})
}

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
// each pull if that is wanted. Then containerd's own client takes its turn, too,
// and what all processes use is measured: ratios of processor time hold on a busy
// machine as well.
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
	contenders := []benchtest.Contender{stock, certsd}
	if remove {
		contenders = append(contenders, clientContender(b, d.address))
	}
	used := processors(contenders)
	runs := benchtest.Turns(b, contenders...)
	b.ReportMetric(runs.Ratio("certsd", "stock"), "certsd/stock")
	if remove {
		b.ReportMetric(runs.Ratio("client", "stock"), "client/stock")
	}
	for name, seconds := range used { // the first is that of the round that does not count
		b.ReportMetric(benchtest.Median((*seconds)[1:]), name+"-cpu-s")
	}
	peak, err := service.memory()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(peak, "peak-MiB")
}

// clientContender pulls the image as any client of containerd's does, by its
// library and its resolver, and removes it: what a pull costs whose bytes go
// through containerd's socket.
func clientContender(b *testing.B, address string) benchtest.Contender {
	client, err := containerd.New(address, containerd.WithDefaultNamespace("bench"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	ref := benchHost + "/big:1"
	return benchtest.Contender{
		Name: "client",
		Run: func() {
			hosts := config.ConfigureHosts(b.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(certsDir)})
			_, err := client.Pull(b.Context(), ref, containerd.WithPullUnpack,
				containerd.WithResolver(docker.NewResolver(docker.ResolverOptions{Hosts: hosts})))
			if err != nil {
				b.Fatal(err)
			}
		},
		After: func() {
			if err := client.ImageService().Delete(b.Context(), ref, images.SynchronousDelete()); err != nil {
				b.Fatal(err)
			}
		},
	}
}

// processors lets each contender note the processor time, in seconds, that all
// processes of the machine have used in each of its runs.
func processors(contenders []benchtest.Contender) map[string]*[]float64 {
	used := map[string]*[]float64{}
	for i := range contenders {
		c := &contenders[i]
		run, seconds := c.Run, new([]float64)
		used[c.Name] = seconds
		c.Run = func() {
			before := machineSeconds()
			run()
			*seconds = append(*seconds, machineSeconds()-before)
		}
	}
	return used
}

// machineSeconds is the processor time that the processes of the machine have
// used.
func machineSeconds() (seconds float64) {
	const tick = 100 // USER_HZ
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The name may have spaces.
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, _ := strconv.ParseFloat(field, 64)
			seconds += ticks / tick
		}
	}
	return seconds
}

// push puts an image where the benchmarks pull it.
func push(img v1.Image) error {
	tag, err := name.NewTag(registryAddr+"/big:1", name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, img)
}
