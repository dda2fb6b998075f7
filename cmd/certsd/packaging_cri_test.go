package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
)

func TestSystemdUnitsOfCRI(t *testing.T) {
	t.Parallel()
	service, socket := packaged(t, "systemd/certsd-cri.service"), packaged(t, "systemd/certsd-cri.socket")
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/certsd (.*)$`).FindStringSubmatch(service)
	if start == nil {
		t.Fatal("the service does not start certsd")
	}
	as := understood(t, "ExecStart", strings.Fields(start[1]))
	if listen, want := as.String("listen"), "unix:"+value(socket, "ListenStream"); listen != want {
		t.Errorf("certsd is told %s, systemd listens at %s", listen, want)
	}
	if mode := value(socket, "SocketMode"); mode != "0600" {
		t.Errorf("the socket's mode is %s", mode)
	}
	if before := value(service, "Before"); !strings.Contains(before, "kubelet.service") {
		t.Errorf("it starts before %s", before)
	}
	analyze := tool(t, "systemd-analyze")
	units := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"verify", "--man=no"}
	for name, text := range map[string]string{
		"certsd-cri.service": strings.Replace(service, "/usr/local/bin/certsd", program, 1), "certsd-cri.socket": socket,
	} {
		if err := os.WriteFile(filepath.Join(units, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(units, name))
	}
	if out, err := exec.CommandContext(t.Context(), analyze, files...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// checkCRI holds a container to what the image service needs of the node.
func (c *container) checkCRI(t *testing.T, where string, as *cli.Command, mounted map[string]mount, volumes map[string]volume) {
	t.Helper()
	if c.ImagePullPolicy != "Never" {
		t.Errorf("%s: nobody can pull its own image before it runs", where)
	}
	var needed []string
	for _, root := range certsd.ParseRoots(as.String("root")) {
		needed = append(needed, filepath.Dir(root))
	}
	needed = append(needed, filepath.Dir(as.String("containerd-config")))
	for _, dir := range needed {
		if !mounted[dir].ReadOnly {
			t.Errorf("%s: %s is not mounted read-only", where, dir)
		}
	}
	for _, address := range []string{as.String("listen"), as.String("containerd")} {
		dir := filepath.Dir(strings.TrimPrefix(address, "unix:"))
		if m, ok := mounted[dir]; !ok || m.ReadOnly {
			t.Errorf("%s: %s is not mounted", where, dir)
		}
	}
	// containerd, outside, reads files next to the socket, by the path that is seen here.
	dir := filepath.Dir(strings.TrimPrefix(as.String("listen"), "unix:"))
	if there := volumes[mounted[dir].Name].HostPath.Path; there != dir {
		t.Errorf("%s: %s is %s of the node", where, dir, there)
	}
}
