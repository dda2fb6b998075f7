//go:build linux

package packaging

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// boot runs a script in a booted machine and returns what it said.
func (m *machine) boot(t *testing.T, script string) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-nspawn"); err != nil {
		citest.Missing(t, err.Error())
	}
	crictl := packagingTool(t, "crictl-*")
	at := func(path string) string { return filepath.Join(m.dir, "upper", path) }
	for path, text := range map[string]string{"script": script, "etc/systemd/system/script.service": unit} {
		if err := os.MkdirAll(filepath.Dir(at(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wants := at("etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../script.service", filepath.Join(wants, "script.service")); err != nil {
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
// registry that are here.
func documented(t *testing.T, where string) string {
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
		"registry.example/app:1", `"$REF"`, "registry.example", `"$via"`, "2.3", "2.4", "    ", "").Replace(block)
}

// script is one of testdata, with the commands of documents where it has "@DOC
// WHERE@".
func script(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`@DOC (.*)@`).ReplaceAllStringFunc(string(text), func(mark string) string {
		return documented(t, strings.Trim(strings.TrimPrefix(mark, "@DOC "), "@"))
	})
}

// TestBooted is a node from installation to purge: what docs/install.md and docs/to-the-plugin.md say, with
// systemd, containers that run and pulls under way.
func TestBooted(t *testing.T) {
	t.Parallel()
	m := newDebian(t)
	out := m.boot(t, script(t, "booted.sh"))
	t.Log(out)
	expect(t, "booted", out,
		"it was Debian's: /usr/bin/containerd", "certsd-gateway.service: disabled, inactive", "certsd-cri.socket: disabled, inactive",
		"gateway: 127.0.0.1:", "plugin: 127.0.0.1:",
		"containerd is /usr/lib/containerd-certsd/2.4/containerd, and the container goes on",
		"== upgrade\n", "== downgrade\n", "pulls finished, containerd was not restarted, the container goes on",
		"containerd is /usr/bin/containerd, and the container goes on",
		"certsd: /etc/docker/certs.d stays as it is: the certificates and keys in it are yours", "== done")
}
