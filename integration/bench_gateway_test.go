//go:build linux

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// benchGateway is where the gateway of the benchmark listens.
const benchGateway = "127.0.0.1:5999"

// BenchmarkGatewayPull takes turns in pulling 1 GiB with "ctr images pull" by
// one stock containerd: straight from nginx and docker-registry, and from the
// gateway in front of them, by the hosts.toml that it prints. It reports the
// most memory the gateway had, too.
func BenchmarkGatewayPull(b *testing.B) { onBenchMachine(b, benchGatewayPull, gatewayNeeds) }

var gatewayNeeds = benchNeeds{programs: []string{"containerd", "ctr", "certsd"}, time: "5x"}

func benchGatewayPull(b *testing.B, r *rig) {
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
	d, err := r.startBenchDaemon("stock")
	if err != nil {
		b.Fatal(err)
	}
	gateway, hosts, err := r.startBenchGateway()
	if err != nil {
		b.Fatal(err)
	}
	idle, err := gateway.memory()
	if err != nil {
		b.Fatal(err)
	}
	contender := func(name, hostsDir string) benchtest.Contender {
		return benchtest.Contender{
			Name:  name,
			Run:   func() { d.ctr(b, "images", "pull", "--local", "--hosts-dir", hostsDir, benchHost+"/big:1") },
			After: func() { d.ctr(b, "images", "rm", "--sync", benchHost+"/big:1") },
		}
	}
	runs := benchtest.Turns(b, contender("stock", certsDir), contender("gateway", hosts))
	b.ReportMetric(runs.Ratio("gateway", "stock"), "gateway/stock")
	peak, err := gateway.memory()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(idle, "idle-MiB")
	b.ReportMetric(peak, "peak-MiB")
}

// startBenchGateway starts bin/certsd gateway, and returns the directory with
// the hosts.toml for it.
func (r *rig) startBenchGateway() (d *daemon, hosts string, err error) {
	state := filepath.Join(r.work, "gateway")
	if d, err = r.start("gateway", "certsd", "gateway", "--root", certsDir, "--state", state, "--listen", benchGateway); err != nil {
		return nil, "", err
	}
	if err := d.listening("tcp", benchGateway); err != nil {
		return nil, "", err
	}
	secret, err := os.ReadFile(filepath.Join(state, "secret"))
	if err != nil {
		return nil, "", err
	}
	hosts = filepath.Join(r.work, "hosts")
	dir := filepath.Join(hosts, benchHost)
	text := fmt.Sprintf("server = \"http://%s\"\n[header]\n  X-Certsd-Token = [%q]\n", benchGateway, strings.TrimSpace(string(secret)))
	return d, hosts, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o600))
}

// memory is the most memory the process had so far, in MiB.
func (d *daemon) memory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no VmHWM in /proc")
}
