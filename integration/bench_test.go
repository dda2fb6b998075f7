//go:build linux

package integration

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// The registry of the benchmarks: nginx, which wants a client certificate, in
// front of docker-registry.
const (
	benchHost = "registry.test"
	benchAddr = "127.0.1.1"
)

// benchNeeds are what a benchmark needs besides the registry.
type benchNeeds struct {
	programs []string
	// time is the value of -benchtime, empty for the one given.
	time string
	// rate is how much nginx gives to each request in a second, as its
	// limit_rate has it. Empty: all it can.
	rate string
	// link is how much the link between it and its clients carries in a second, as
	// tc has it. Empty: all that loopback can.
	link string
}

// onBenchMachine runs a benchmark on a machine of its own, as [runOnMachine]
// runs a script, and reports what it reports there.
func onBenchMachine(b *testing.B, run func(*testing.B, *rig), needs benchNeeds) {
	if os.Getenv(onMachine) != "" {
		if needs.link != "" {
			if err := limitLink(b.Context(), benchAddr, needs.link); err != nil {
				b.Fatal(err)
			}
		}
		run(b, benchRig(b, needs.rate))
		return
	}
	if os.Getuid() != 0 {
		b.Skip("needs root for namespaces and mounts")
	}
	for _, name := range append([]string{"nginx", "docker-registry"}, needs.programs...) {
		if _, err := lookPath(name); err != nil {
			b.Skipf("%s is not installed (Debian's package, or make build): %v", name, err)
		}
	}
	// The testing package calls again with a greater N, which is for the loop
	// on the machine alone.
	if b.N == 1 {
		benchResults[b.Name()] = benchChild(b, cmp.Or(needs.time, testFlag("test.benchtime")))
	}
	for unit, value := range benchResults[b.Name()] {
		b.ReportMetric(value, unit)
	}
}

// benchResults are the metrics of the last run of each benchmark.
var benchResults = map[string]map[string]float64{}

// benchChild runs this binary once more in namespaces of its own, for the
// benchmark b, and returns the metrics it prints.
func benchChild(b *testing.B, time string) map[string]float64 {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	// Pdeathsig is sent when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	args := []string{"-test.run=^$", "-test.bench=^" + b.Name() + "$", "-test.benchtime=" + time}
	cmd := exec.CommandContext(b.Context(), exe, append(args, profiles()...)...)
	cmd.Env = append(os.Environ(), onMachine+"="+b.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	metrics, err := metricsOf(string(out))
	if err != nil {
		b.Fatalf("%v in:\n%s", err, out)
	}
	return metrics
}

// metricsOf reads the line of a benchmark, "NAME N VALUE UNIT VALUE UNIT…".
func metricsOf(out string) (map[string]float64, error) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 4 {
			continue
		}
		metrics := map[string]float64{"ns/op": 0}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, err
			}
			metrics[fields[i+1]] = value
		}
		return metrics, nil
	}
	return nil, errors.New("no result")
}

// benchRig is a rig for one benchmark, with the registry running.
func benchRig(b *testing.B, rate string) *rig {
	r := &rig{
		work:    b.TempDir(),
		cas:     map[string]*certtest.CA{},
		daemons: map[string]*daemon{},
		logs:    map[string]*accessLog{},
	}
	b.Cleanup(func() {
		if b.Failed() {
			r.showLogs()
		}
		r.stopAll()
	})
	if err := r.benchRegistry(rate); err != nil {
		b.Fatal(err)
	}
	return r
}

// benchRegistry starts the servers, and makes a directory for them with the
// one pair they accept.
func (r *rig) benchRegistry(rate string) error {
	dir := filepath.Join(r.work, "registry")
	config, err := r.write("registry.yml", strings.ReplaceAll(registryConfig, "DIR", dir))
	if err != nil {
		return err
	}
	d, err := r.start("docker-registry", "docker-registry", "serve", config)
	if err != nil {
		return err
	}
	if err := d.listening("tcp", registryAddr); err != nil {
		return err
	}
	f := &front{Name: benchHost, Addr: benchAddr, Dir: r.work, Verify: "on", Deny: "403", Upstream: registryAddr}
	if rate != "" {
		if f.Include, err = r.write("rate.conf", "limit_rate "+rate+";\n"); err != nil {
			return err
		}
	}
	if config, err = r.configure(f, "nginx.conf.tmpl"); err != nil {
		return err
	}
	if err := r.serve(f, "nginx", "-c", config, "-p", r.work); err != nil {
		return err
	}
	if err := plainDir(certsDir); err != nil {
		return err
	}
	host := filepath.Join(certsDir, benchHost)
	if err := os.MkdirAll(host, 0o755); err != nil {
		return err
	}
	return errors.Join(r.ca("servers").Write(host, "ca"), r.benchPair().Write(host, "client"))
}

// benchPair is the pair of the registry's only client.
func (r *rig) benchPair() *certtest.Pair { return r.ca("clients").Client("client") }

// limitLink lets what comes from an address of this machine come at a rate, all of
// its connections together, as over a network. What goes between other addresses,
// such as nginx and the registry behind it, is left alone.
func limitLink(ctx context.Context, from, rate string) error {
	for _, args := range []string{
		"qdisc add dev lo root handle 1: htb",
		"class add dev lo parent 1: classid 1:1 htb rate " + rate,
		"filter add dev lo parent 1: protocol ip u32 match ip src " + from + " flowid 1:1",
	} {
		if out, err := exec.CommandContext(ctx, "tc", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("tc %s: %w: %s", args, err, out)
		}
	}
	return nil
}

// testFlag is the value of a flag of the testing package.
func testFlag(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// profiles hands the profiling flags on: the process that is asked for a
// profile does nothing itself.
func profiles() []string {
	var args []string
	for _, name := range []string{"test.cpuprofile", "test.memprofile"} {
		if file := testFlag(name); file != "" {
			args = append(args, fmt.Sprintf("-%s=%s.machine", name, file))
		}
	}
	return args
}

// plainDir makes an empty directory on a file system of its own. What lies in
// the overlay over /etc, which nodes do not have, takes half as long again to look
// at.
func plainDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755")
}
