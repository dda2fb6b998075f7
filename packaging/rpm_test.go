//go:build linux

package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// TestRPM installs, upgrades and erases by rpm, in a root that has nothing but a
// shell: what the packages need is in them. createrepo makes the repository that
// dnf would read.
func TestRPM(t *testing.T) {
	t.Parallel()
	built(t)
	if os.Getuid() != 0 {
		citest.Missing(t, "rpm --root needs root")
	}
	root := t.TempDir()
	for _, name := range []string{"bin", "usr/bin", "etc", "var/lib", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The scripts of packages need a shell and a few words.
	output(t, "sh", "-c", `cp "$(command -v busybox)" "$1/bin/busybox" && for word in sh ls grep; do ln -s busybox "$1/bin/$word"; done && mknod -m 666 "$1/dev/null" c 1 3`, "sh", root)
	rpm := func(args ...string) string {
		return output(t, "rpm", append([]string{"--root", root, "--nosignature"}, args...)...)
	}
	first := append(packages(t, "a", "certsd-[0-9]*.x86_64.rpm"), one(t, "a", "containerd-certsd-2.4-*.x86_64.rpm"))
	later := []string{one(t, "later", "certsd-[0-9]*.x86_64.rpm"), one(t, "later", "containerd-certsd-2.4-*.x86_64.rpm")}
	config := filepath.Join(root, "etc/certsd/gateway.toml")

	out := rpm(append([]string{"-i"}, first...)...)
	expect(t, "installed", out, "certsd plugin enable --line 2.4 --dry-run shows what would change")
	expect(t, "used", output(t, "chroot", root, "/usr/bin/certsd", "--version"), "certsd version")
	rpm("-V", "certsd")
	mine := []byte("root = \"/etc/certsd/certs.d\"\n")
	if err := os.WriteFile(config, mine, 0o644); err != nil {
		t.Fatal(err)
	}

	rpm(append([]string{"-U"}, later...)...)
	if text, err := os.ReadFile(config); err != nil || string(text) != string(mine) {
		t.Errorf("after the upgrade %s has %q, %v", config, text, err)
	}
	if n := strings.Count(rpm("-qa"), "\n"); n != 2 {
		t.Errorf("%d packages are installed:\n%s", n, rpm("-qa"))
	}
	rpm(append([]string{"-U", "--oldpackage"}, first...)...)

	if err := os.MkdirAll(filepath.Join(root, "etc/certsd/certs.d/registry.example"), 0o755); err != nil {
		t.Fatal(err)
	}
	out = rpm("-e", "containerd-certsd-2.4", "certsd")
	expect(t, "erased", out, "certsd: /etc/certsd/certs.d stays as it is")
	left := output(t, "sh", "-c", `cd "$1" && find etc usr var -type f ! -path 'var/lib/rpm/*'`, "sh", root)
	if left != "etc/certsd/gateway.toml.rpmsave\n" {
		t.Errorf("left are\n%s", left)
	}

	repository := t.TempDir()
	for _, file := range first {
		output(t, "cp", file, repository)
	}
	output(t, "createrepo_c", "--quiet", repository)
	if _, err := os.Stat(filepath.Join(repository, "repodata/repomd.xml")); err != nil {
		t.Error(err)
	}
}

// TestRPMLint looks for what rpm's checker finds wrong. What is no fault here is in
// rpm/rpmlint.toml, with the reason.
func TestRPMLint(t *testing.T) {
	t.Parallel()
	built(t)
	// It unpacks by cpio, and nfpm's names begin with a slash: without the option
	// they would be unpacked over this machine's own files.
	dir := t.TempDir()
	called := filepath.Join(dir, "called")
	cpio := "#!/bin/sh\necho \"$@\" >>" + called + "\nexec /usr/bin/cpio --no-absolute-filenames \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "cpio"), []byte(cpio), 0o755); err != nil {
		t.Fatal(err)
	}
	out := output(t, "env", append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "rpmlint", "-c", "rpm/rpmlint.toml"}, packages(t, "a", "*.x86_64.rpm")...)...)
	expect(t, "rpmlint", out, " 0 errors, 0 warnings")
	if _, err := os.Stat(called); err != nil {
		t.Errorf("rpmlint unpacks by something else than this test's cpio: %v", err)
	}
}
