//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hosts are the names a script may use. Each has an address, so each may have
// its own server on port 443.
const hosts = `127.0.0.1 localhost
127.0.1.1 registry.test
127.0.1.2 mirror.test
127.0.1.3 auth.test
127.0.1.4 blobs.test
127.0.1.5 other.test
`

// setUpMachine turns the namespaces this process was started in into a
// machine of its own. dir is an empty directory for its file systems.
//
// What is changed is seen by this process and its children only: the mount
// namespace is private, and writes to /etc and /var/lib go to memory.
func setUpMachine(dir string) error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	mounts := []struct {
		source, target, fstype string
		flags                  uintptr
		data                   string
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", dir, "tmpfs", 0, "mode=0755"},
		{"overlay", "/etc", "overlay", 0, layer(dir, "/etc")},
		{"overlay", "/var/lib", "overlay", 0, layer(dir, "/var/lib")},
		{"tmpfs", "/run", "tmpfs", 0, "mode=0755"},
		{"tmpfs", stateDir, "tmpfs", 0, "mode=0755"},
	}
	for _, m := range mounts {
		if m.target == stateDir {
			if err := os.MkdirAll(stateDir, 0o755); err != nil {
				return err
			}
		}
		if m.fstype == "overlay" {
			for _, sub := range []string{"upper", "work"} {
				if err := os.MkdirAll(filepath.Join(dir, m.target, sub), 0o755); err != nil {
					return err
				}
			}
		}
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
		}
	}
	for _, old := range []string{"/etc/containerd", "/etc/docker", "/etc/certsd"} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	return os.WriteFile("/etc/hosts", []byte(hosts), 0o644)
}

// layer is the option string for an overlay over target that keeps its
// changes in dir.
func layer(dir, target string) string {
	return fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", target,
		filepath.Join(dir, target, "upper"), filepath.Join(dir, target, "work"))
}

// loopbackUp switches on the loopback interface of a new network namespace,
// as "ip link set lo up" does.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// namespace is the containerd namespace of a script.
func namespace(script string) string { return "certsd-test-" + script }

// removeCgroups removes what containers of a script leave in the cgroup file
// system, the one thing a machine shares with others: a directory for each
// namespace, in each hierarchy.
func removeCgroups(script string) {
	for _, root := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		for _, below := range []string{"/*", ""} {
			dirs, _ := filepath.Glob(root + namespace(script) + below)
			for _, dir := range dirs {
				_ = os.Remove(dir) // Files in it cannot be removed, and need not.
			}
		}
	}
}
