//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/rogpeppe/go-internal/testscript"
)

// Where containerd keeps things if nobody says otherwise. The machine of a
// script has them to itself.
const (
	configFile = "/etc/containerd/config.toml"
	certsDir   = "/etc/containerd/certs.d"
	stateDir   = "/var/lib/containerd"
	runDir     = "/run/containerd"
	socket     = runDir + "/containerd.sock"
)

const containerdUsage = "containerd start CONFIG|restart|stop"

// containerdCmd runs bin/containerd. "start" copies CONFIG to where containerd
// looks for it; "stop" also forgets all images.
func (r *rig) containerdCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, containerdUsage)
	r.ways = nil
	for _, name := range []string{"PATH", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "TPM2TOOLS_TCTI", "SOFTHSM2_CONF"} {
		if value := ts.Getenv(name); value != "" {
			r.ways = append(r.ways, name+"="+value)
		}
	}
	defer func() { r.ways = nil }()
	switch {
	case len(args) == 2 && args[0] == "start":
		ts.Check(writeFile(configFile, []byte(ts.ReadFile(args[1])), 0o644))
		ts.Check(r.startContainerd())
	case len(args) == 1 && args[0] == "restart":
		ts.Check(r.stop("containerd"))
		ts.Check(r.startContainerd())
	case len(args) == 1 && args[0] == "stop":
		ts.Check(r.stop("containerd"))
		ts.Check(errors.Join(clearDir(stateDir), clearDir(runDir)))
	default:
		ts.Fatalf("usage: %s", containerdUsage)
	}
}

// startContainerd starts the daemon and waits until it serves.
func (r *rig) startContainerd() error {
	d, err := r.start("containerd", "containerd")
	if err != nil {
		return err
	}
	return d.serving()
}

// serving waits until containerd answers on its socket, or has ended.
func (d *daemon) serving() error {
	if err := d.listening("unix", socket); err != nil {
		return err
	}
	client, err := containerd.New(socket)
	if err != nil {
		return err
	}
	defer client.Close()
	return d.until(func(ctx context.Context) bool {
		ok, err := client.IsServing(ctx)
		return ok && err == nil
	})
}

// clearDir removes everything in a directory, which may be a mount point.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("clearing %s: %w", dir, err)
		}
	}
	return nil
}
