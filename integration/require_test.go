//go:build linux

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// machineGrace is what is left of the time of a test for reporting.
const machineGrace = 10 * time.Second

// programs are what the scenarios use, with the Debian package of each.
var programs = []struct{ name, from string }{
	{"nginx", "package nginx"},
	{"apache2", "package apache2"},
	{"docker-registry", "package docker-registry"},
	{"busybox", "package busybox-static"},
	{"runc", "package runc"},
	{"skopeo", "package skopeo"},
	{"promtool", "package prometheus"},
	{"containerd", "make build"},
	{"ctr", "make build"},
	{"containerd-shim-runc-v2", "make build"},
	{"certsd", "make build"},
}

// requireRoot skips the test for an ordinary user: namespaces, mounts and
// containers need root.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		citest.Missing(t, "the scenarios need root: namespaces, mounts and containers")
	}
}

// requireLine fails where the containerd of a line is not built: another would
// be found in PATH.
func requireLine(t *testing.T) {
	t.Helper()
	line := os.Getenv(lineVariable)
	for _, name := range []string{"containerd", "ctr", "containerd-shim-runc-v2", "certsd"} {
		if _, err := os.Stat(filepath.Join("../bin", line, name)); line != "" && err != nil {
			t.Fatalf("%v: make build CONTAINERD=%s", err, line)
		}
	}
}

// requirePrograms skips the test where a program is not installed, and names
// all that are missing.
func requirePrograms(t *testing.T) {
	t.Helper()
	var lacking []string
	for _, p := range programs {
		if _, err := lookPath(p.name); err != nil {
			lacking = append(lacking, p.name+" ("+p.from+")")
		}
	}
	if len(lacking) > 0 {
		citest.Missing(t, "not installed: "+strings.Join(lacking, ", "))
	}
}

// TestPackagesAreInstalledByCI holds the programs to what CI installs, and make
// asks for.
func TestPackagesAreInstalledByCI(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../.ci/packages")
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) == 2 {
			of[words[1]] = words[0]
		}
	}
	for _, p := range programs {
		if name, isPackage := strings.CutPrefix(p.from, "package "); isPackage && of[p.name] != name {
			t.Errorf("%s is in the package %s, and in .ci/packages of %q", p.name, name, of[p.name])
		}
	}
}

// condition is what scripts may ask for: [stock:LINE], which containerd it is,
// and [installed:PROGRAM]. Where nothing may be skipped, a program that is not
// there is an error.
func condition(cond string) (bool, error) {
	if line, ok := strings.CutPrefix(cond, "stock:"); ok {
		return line == os.Getenv(stockVariable), nil
	}
	name, ok := strings.CutPrefix(cond, "installed:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	_, err := lookPath(name)
	if err != nil && citest.NothingSkipped() {
		return false, err
	}
	return err == nil, nil
}

// lookPath finds a program in bin, PATH, or where Debian keeps daemons, which
// is not in the PATH of every root shell.
func lookPath(name string) (string, error) {
	path := os.Getenv("PATH")
	defer os.Setenv("PATH", path)
	os.Setenv("PATH", searchPath(path))
	return exec.LookPath(name)
}
