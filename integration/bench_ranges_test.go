//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// BenchmarkRanges takes turns in PullImage of 512 MiB in two layers from a
// registry that gives each request 25 MB in a second, where pieces of a layer
// are fetched in parallel:
//
//   - stock: by CRI of a stock containerd, straight,
//   - plugin: by CRI of a containerd with the plugin,
//   - gateway: by CRI of a stock containerd from the gateway,
//   - cri: by certsd cri in front of the first,
//   - whole: by CRI of a stock containerd that fetches whole layers, to tell what
//     the pieces bring.
func BenchmarkRanges(b *testing.B) {
	onBenchMachine(b, benchRanges, benchNeeds{programs: []string{"containerd", "certsd"}, time: "3x", rate: "25m"})
}

const (
	rangesLayers    = 2
	rangesLayerSize = 256 << 20
	// rangesKeys are for the section of a transfer plugin.
	rangesKeys = "  concurrent_layer_fetch_buffer = 8388608\n  max_concurrent_downloads = 4\n"
)

func benchRanges(b *testing.B, r *rig) {
	img, err := randomImage(rangesLayers, rangesLayerSize)
	if err != nil {
		b.Fatal(err)
	}
	if err := push(img); err != nil {
		b.Fatal(err)
	}
	_, hosts, err := r.startBenchGateway()
	if err != nil {
		b.Fatal(err)
	}
	daemon := func(name, config, more string) *benchDaemon {
		text, err := os.ReadFile(filepath.Join("testdata", config))
		if err != nil {
			b.Fatal(err)
		}
		d, err := r.startBenchDaemonWith(name, strings.ReplaceAll(string(text), "/etc/containerd/certs.d", hostsOf(name, hosts))+more)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	local := fmt.Sprintf("\n[plugins.%q]\n%s", "io.containerd.transfer.v1.local", rangesKeys)
	plugin := fmt.Sprintf("\n[plugins.%q]\n%s", "io.containerd.transfer.v1.certsd", rangesKeys)
	stock := daemon("stock", "stock.toml", local)
	service, err := r.start("cri", "certsd", "cri", "--root", certsDir, "--containerd", stock.address,
		"--containerd-config", stock.config, "--log-level", "warn")
	if err != nil {
		b.Fatal(err)
	}
	if err := service.listening("unix", criSocket); err != nil {
		b.Fatal(err)
	}
	runs := benchtest.Turns(b,
		criContender(b, "stock", stock.address),
		criContender(b, "plugin", daemon("plugin", "certsd.toml", plugin).address),
		criContender(b, "gateway", daemon("gatewayed", "stock.toml", local).address),
		criContender(b, "cri", criSocket),
		criContender(b, "whole", daemon("whole", "stock.toml", "").address),
	)
	for _, name := range []string{"plugin", "gateway", "cri", "whole"} {
		b.ReportMetric(runs.Ratio(name, "stock"), name+"/stock")
	}
}

// hostsOf is where a daemon finds its hosts.toml.
func hostsOf(name, gateway string) string {
	if name == "gatewayed" {
		return gateway
	}
	return certsDir
}

// criContender pulls the image by the image service at an address, and removes it.
func criContender(b *testing.B, name, address string) benchtest.Contender {
	conn, err := grpc.NewClient("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	images := runtime.NewImageServiceClient(conn)
	image := &runtime.ImageSpec{Image: benchHost + "/big:1"}
	return benchtest.Contender{
		Name: name,
		Run: func() {
			if _, err := images.PullImage(b.Context(), &runtime.PullImageRequest{Image: image}); err != nil {
				b.Fatal(err)
			}
		},
		After: func() {
			if _, err := images.RemoveImage(b.Context(), &runtime.RemoveImageRequest{Image: image}); err != nil {
				b.Fatal(err)
			}
		},
	}
}
