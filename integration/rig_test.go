//go:build linux

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// rig is what one script has started and made. Commands of a script run one
// after another, so it needs no lock.
type rig struct {
	work    string
	cas     map[string]*certtest.CA
	daemons map[string]*daemon
	logs    map[string]*accessLog
	gate    *gate
	// ways are what the script's environment says of proxies and roots, for the
	// containerd that it starts.
	ways []string
	// containers counts those that were run, for their names.
	containers int
}

// params binds the commands of a script to a rig of its own.
func params(script string) testscript.Params {
	r := &rig{
		cas:     map[string]*certtest.CA{},
		daemons: map[string]*daemon{},
		logs:    map[string]*accessLog{},
	}
	return testscript.Params{
		Files:               []string{script},
		Setup:               r.setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"alerts":      r.alertsCmd,
			"grafana":     r.grafanaCmd,
			"ca":          r.caCmd,
			"certify":     r.certifyCmd,
			"pair":        r.pairCmd,
			"registry":    r.registryCmd,
			"image":       r.imageCmd,
			"nginx":       r.nginxCmd,
			"apache":      r.apacheCmd,
			"containerd":  r.containerdCmd,
			"environment": environmentCmd,
			"log":         r.logCmd,
			"forget":      r.forgetCmd,
			"presented":   r.presentedCmd,
			"run":         r.runCmd,
			"gate":        r.gateCmd,
			"v1tree":      r.v1treeCmd,
			"until":       r.untilCmd,
			"serve":       r.serveCmd,
		},
	}
}

// environmentCmd sets the variables of a file, NAME=VALUE in each line: those that
// a program has named.
func environmentCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "environment FILE"
	noNeg(ts, neg, usage)
	if len(args) != 1 {
		ts.Fatalf("usage: %s", usage)
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !ok {
			ts.Fatalf("%q is not NAME=VALUE", line)
		}
		ts.Setenv(name, value)
	}
}

// setUp gives the script its environment, and arranges for the logs of the
// servers to be shown if it fails.
func (r *rig) setUp(env *testscript.Env) error {
	r.work = env.WorkDir
	env.Setenv("PATH", searchPath(env.Getenv("PATH")))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("CERTS", certsDir)
	env.Setenv("DOCKER_CERTS", "/etc/docker/certs.d")
	repository, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	env.Setenv("REPOSITORY", repository)
	env.Setenv("STOCK", os.Getenv(stockVariable))
	env.Setenv(lineVariable, os.Getenv(lineVariable))
	// Containers of scripts that run side by side meet in the cgroup file
	// system only, where the namespace is part of the path.
	env.Setenv("CONTAINERD_NAMESPACE", namespace(strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")))
	env.Defer(func() {
		if tb, ok := env.T().(testing.TB); ok && tb.Failed() {
			r.showLogs()
		}
		if r.gate != nil {
			r.gate.close()
		}
		r.stopAll()
	})
	// Apache serves files as www-data.
	for _, dir := range []string{env.WorkDir, filepath.Dir(env.WorkDir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		copyFile(env.WorkDir, "testdata/certsd.toml"),
		stockConfig(env.WorkDir),
	)
}

// searchPath is PATH with the binaries of this project and the clients of the
// gateway first, and the directories of daemons last.
func searchPath(path string) string {
	bin, err := filepath.Abs("../bin")
	if err != nil {
		return path
	}
	line := filepath.Join(bin, os.Getenv(lineVariable))
	if os.Getenv(stockVariable) != "" {
		line = filepath.Join(bin, stockDir())
	}
	return line + ":" + bin + ":" + filepath.Join(bin, "clients") + ":" + path + ":/usr/local/sbin:/usr/sbin:/sbin"
}

// lineVariable names the release line of containerd to run, such as 2.3, from
// bin/2.3. The newest is in bin itself.
const lineVariable = "CERTSD_CONTAINERD"

// copyFile copies a configuration into dir, if the script does not bring a
// file of that name itself.
func copyFile(dir, file string) error {
	to := filepath.Join(dir, filepath.Base(file))
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}

// showLogs writes the end of every log of the script's servers.
func (r *rig) showLogs() {
	files, _ := filepath.Glob(filepath.Join(r.work, "*.log"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || len(b) == 0 {
			continue
		}
		fmt.Printf("---- %s\n%s\n", filepath.Base(file), tail(b, shownLog))
	}
}

// shownLog is how much of a log is shown: about 200 lines of containerd's.
const shownLog = 48 << 10

// tail is the end of b, at most n bytes.
func tail(b []byte, n int) []byte {
	return b[max(0, len(b)-n):]
}

// write writes a file of the script's work directory.
func (r *rig) write(name, text string) (string, error) {
	path := filepath.Join(r.work, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// noNeg is for commands that cannot be negated.
func noNeg(ts *testscript.TestScript, neg bool, usage string) {
	if neg {
		ts.Fatalf("usage: %s (without !)", usage)
	}
}
