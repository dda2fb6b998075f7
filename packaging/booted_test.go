//go:build linux

package packaging

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// boots lays a directory over a root and boots it, with systemd as its first
// process. What nspawn keeps from its guests a container runtime needs.
const boots = `set -e
mount -t overlay machine -o "lowerdir=$LOWER,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
exec systemd-nspawn --boot --quiet --register=no --keep-unit --private-network --console=pipe --kill-signal=SIGRTMIN+3 \
	--capability=all --system-call-filter='@mount @clock @module @raw-io bpf keyctl add_key request_key perf_event_open' \
	--bind="$PACKAGES:/packages" --bind-ro="$TEST:/test" --bind-ro="$CRICTL:/usr/local/bin/crictl" \
	$BINDS --tmpfs=/var/lib/containerd --directory="$DIR/root" </dev/null`

// unit runs the script when all that the machine starts by itself has started, and
// ends the machine.
const unit = `[Unit]
After=basic.target containerd.service
[Service]
Type=oneshot
TimeoutStartSec=15min
ExecStart=/bin/bash /script
ExecStopPost=/bin/sh -c 'systemctl exit $$(test "$$SERVICE_RESULT" = success; echo $$?) --no-block'
StandardOutput=file:/out
StandardError=file:/out
`

// boot runs a script in a booted machine and returns what it said. The next one starts
// with what this one has left, but for /run and what containerd has.
func (m *machine) boot(t *testing.T, script string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		citest.Missing(t, err.Error())
	}
	crictl := packagingTool(t, "crictl-*")
	at := func(path string) string { return filepath.Join(m.dir, "upper", path) }
	m.put(t, "script", []byte(script), 0o644)
	m.put(t, "etc/systemd/system/script.service", []byte(unit), 0o644)
	wants := at("etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../script.service", filepath.Join(wants, "script.service")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", boots)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_LOG_LEVEL=warning",
		"LOWER=" + m.lower, "DIR=" + m.dir, "PACKAGES=" + built(t), "CRICTL=" + crictl, "TEST=" + filepath.Join(here(t), "testdata"),
	}
	binds := "BINDS="
	for at, path := range m.binds {
		binds += " --bind-ro=" + path + ":" + at
	}
	cmd.Env = append(cmd.Env, binds)
	said, err := cmd.CombinedOutput()
	out, _ := os.ReadFile(at("out"))
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, said, out)
	}
	return string(out)
}

// packagingTool is what make has built into .cache/bin.
func packagingTool(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob("../.cache/bin/" + pattern)
	if err != nil || len(files) == 0 {
		citest.Missing(t, "there is no .cache/bin/"+pattern+": make check-packages")
	}
	file, err := filepath.EvalSymlinks(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// documented are the commands of a section of a document, "install.md: To install",
// or the third of several, "install.md: To install #3", for the packages and the
// registry that are here, and a line of containerd.
func documented(t *testing.T, where, line string) string {
	t.Helper()
	file, heading, _ := strings.Cut(where, ": ")
	heading, which, _ := strings.Cut(heading, " #")
	number, err := strconv.Atoi(cmp.Or(which, "1"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading)
	rest, _, _ = strings.Cut(rest, "\n## ")
	blocks := regexp.MustCompile(`(?m)(?:^ {4}.*\n)+`).FindAllString(rest, -1)
	if !found || len(blocks) < number {
		t.Fatalf("%s has %d times commands under %q, not %d", file, len(blocks), heading, number)
	}
	block := blocks[number-1]
	if n := strings.Count(block, "\n"); n > 10 {
		t.Errorf("%q has %d commands: ten are enough", heading, n)
	}
	version := versionOf(one(t, "a", "certsd_*_amd64.deb"))
	return strings.NewReplacer("VERSION-1", version, "apt-get install", "apt-get install -y", "apt-get purge", "apt-get purge -y",
		"registry.example/app:1", `"$REF"`, "registry.example", `"$via"`, "2.3", line, "    ", "").Replace(block)
}

// script is one of testdata, with what several begin with where it has "@NODE@" or
// "@KUBELET@", and with commands of documents, for a line of containerd, where it has
// "@DOC WHERE@".
func script(t *testing.T, name, line string) string {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text := strings.Replace(read(name), "@NODE@\n", read("node.sh"), 1)
	text = strings.Replace(text, "@KUBELET@\n", read("kubelet.sh"), 1)
	return regexp.MustCompile(`@DOC (.*)@`).ReplaceAllStringFunc(text, func(mark string) string {
		return documented(t, strings.Trim(strings.TrimPrefix(mark, "@DOC "), "@"), line)
	})
}

// TestBooted is a node from installation to purge: what docs/install.md and docs/to-the-plugin.md say, with
// systemd, containers that run and pulls under way.
func TestBooted(t *testing.T) {
	t.Parallel()
	out := newDebian(t).boot(t, script(t, "booted.sh", "2.4"))
	t.Log(out)
	expect(t, "booted", out,
		"it was Debian's: /usr/bin/containerd", "certsd-gateway.service: disabled, inactive", "certsd-cri.socket: disabled, inactive",
		"gateway: 127.0.0.1:", "with the token: 127.0.0.1:", "plugin: 127.0.0.1:",
		"containerd is /usr/lib/containerd-certsd/2.4/containerd, and the container goes on",
		"== upgrade\n", "== downgrade\n", "pulls finished, containerd was not restarted, the container goes on",
		"containerd is /usr/bin/containerd, and the container goes on",
		"certsd: /etc/docker/certs.d stays as it is: the certificates and keys in it are yours",
		"certsd: /etc/containerd/certs.d stays as it is", "nothing else is left", "== done")
}

// pauseProgram is what a container of the test runs: it waits until it is asked to end.
const pauseProgram = `package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
}
`

// pause makes an image of a program that waits, registry.example/pause:1.
func pause(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	source, program, archive := filepath.Join(dir, "main.go"), filepath.Join(dir, "pause"), filepath.Join(dir, "pause.tar")
	if err := os.WriteFile(source, []byte(pauseProgram), 0o644); err != nil {
		t.Fatal(err)
	}
	output(t, "env", "CGO_ENABLED=0", "go", "build", "-ldflags=-s -w", "-o", program, source)
	output(t, "env", "SOURCE_DATE_EPOCH=1700000000", "go", "run", "./ociimage", "--output", archive, "--name", "registry.example/pause", "--tag", "1", "--program", runtime.GOARCH+"="+program)
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFrom17 goes from a containerd 1.7, installed as its project says to, with its own
// configuration and with pods and containers that run, to the line that the document
// takes, and back.
func TestFrom17(t *testing.T) {
	t.Parallel()
	m := newDebian(t)
	m.run(t, "apt-get purge -y containerd 2>&1 && rm -rf /etc/containerd")
	for program, tool := range map[string]string{"containerd": "containerd1-cri-*", "ctr": "ctr1-*", "containerd-shim-runc-v2": "shim1-*"} {
		data, err := os.ReadFile(packagingTool(t, tool))
		if err != nil {
			t.Fatal(err)
		}
		m.put(t, "usr/local/bin/"+program, data, 0o755)
	}
	m.put(t, "usr/local/lib/systemd/system/containerd.service", []byte(upstreamUnit), 0o644)
	m.put(t, "pause.tar", pause(t), 0o644)
	m.run(t, `mkdir -p /etc/containerd
/usr/local/bin/containerd config default >/etc/containerd/config.toml
sed -i -e 's|sandbox_image = .*|sandbox_image = "registry.example/pause:1"|' -e 's|config_path = ""|config_path = "/etc/containerd/certs.d"|' \
	-e 's|restrict_oom_score_adj = false|restrict_oom_score_adj = true|' -e 's|address = "/run/containerd/containerd.sock"|address = "/run/node/containerd.sock"|' /etc/containerd/config.toml
systemctl enable containerd 2>&1`)
	out := m.boot(t, script(t, "from17.sh", "2.3"))
	t.Log(out)
	expect(t, "from 1.7", out,
		"it was 1.7: /usr/local/bin/containerd containerd github.com/containerd/containerd 1.7.", "1.7 gets a 403", "version = 2\n",
		"containerd is /usr/lib/containerd-certsd/2.3/containerd, container and pod go on", "plugin: 127.0.0.1:", "by CRI: 127.0.0.1:",
		"1 shims of it run containers: a containerd 1.x",
		"containerd is /usr/local/bin/containerd, container and pod go on, the pod of 2.3 has ended", "nothing else is left", "== done")
}

// upstreamUnit is containerd's own of 1.7, whose binaries are in /usr/local.
const upstreamUnit = `[Unit]
Description=containerd container runtime
After=network.target local-fs.target dbus.service

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`
