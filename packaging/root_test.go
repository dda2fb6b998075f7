//go:build linux

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// parts are what the machine has beside a minimal Debian.
const parts = "systemd,containerd,runc,softhsm2"

// bookworm makes a Debian 12 with its own containerd, once: it is kept beside
// the packages.
var bookworm = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.Getenv("CERTSD_PACKAGES"), "bookworm-"+strings.ReplaceAll(parts, ",", "-"))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	_ = os.RemoveAll(dir + ".new")
	// mktemp -d is a directory without devices in some places.
	out, err := exec.Command("debootstrap", "--variant=minbase", "--include="+parts, "bookworm", dir+".new").CombinedOutput()
	if err != nil {
		return "", &bootstrapError{string(out), err}
	}
	return dir, os.Rename(dir+".new", dir)
})

type bootstrapError struct {
	out string
	error
}

func (e *bootstrapError) Error() string {
	return e.error.Error() + "\n" + e.out
}

// machine is a root file system of its own above another one that stays as it
// is.
type machine struct {
	dir, lower string
	// binds are files of this machine for one that is booted, by their paths there.
	binds map[string]string
}

// newMachine lays an empty directory over a root: what a script changes is there
// for the next one, and nowhere else.
func newMachine(t *testing.T, lower string) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir(), lower: lower}
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(m.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func newDebian(t *testing.T) *machine {
	t.Helper()
	built(t)
	if os.Getuid() != 0 {
		citest.Missing(t, "a root file system needs root")
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		citest.Missing(t, err.Error())
	}
	lower, err := bookworm()
	if err != nil {
		t.Fatal(err)
	}
	return newMachine(t, lower)
}

// mounts makes the root, with the packages in /packages, in a name space that
// ends with the script. It has a loopback interface and nothing else.
const mounts = `set -e
ip link set lo up
mount -t overlay machine -o "lowerdir=$LOWER,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
mkdir -p "$DIR/root/packages"
mount --bind "$PACKAGES" "$DIR/root/packages"
mount --bind /dev "$DIR/root/dev"
mount -t proc processes "$DIR/root/proc"
mount --rbind /sys "$DIR/root/sys"
exec chroot "$DIR/root" /bin/bash -euo pipefail -c "$SCRIPT"`

// run runs a script as root of the machine and returns what it says.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "sh", "-c", mounts)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
		"LOWER=" + m.lower, "DIR=" + m.dir, "PACKAGES=" + built(t), "SCRIPT=" + script,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v of\n%s\n%s", err, script, out)
	}
	return string(out)
}

// put copies a file into the machine, before it runs or between two scripts.
func (m *machine) put(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	file := filepath.Join(m.dir, "upper", path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, mode); err != nil {
		t.Fatal(err)
	}
}

// files are all files of the machine with their modes, owners and links, and the
// digests of those in /etc and /usr/local. What dpkg itself keeps is left out.
func (m *machine) files(t *testing.T) string {
	t.Helper()
	return m.run(t, `
find / -xdev -regextype posix-extended -regex '/(proc|dev|packages|tmp|run|var/(log|cache|lib/dpkg|lib/apt)).*' -prune -o -printf '%M %u:%g %p %l\n' | sort -k3
find /etc /usr/local -type f | sort | xargs -d '\n' sha256sum`)
}

// expect fails the test unless every one of the words is said.
func expect(t *testing.T, where, out string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("%s: %q is missing in\n%s", where, word, out)
		}
	}
}
