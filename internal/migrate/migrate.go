// Package migrate turns other settings for registries into hosts.toml files:
// certs.d directories of Docker's layout, the deprecated registry keys of
// containerd's CRI plugin and Docker's daemon.json.
//
// [New] reads all of it and returns a [Plan], which can be shown as a diff
// and written. Its notes tell what hosts.toml cannot express, and what was left
// unchanged. Neither holds a secret.
//
// The tree means the same to package certsd and to stock containerd, which reads
// one root, ignores Docker files next to a hosts.toml and always trusts the
// system's CA roots.
//
// Read migrate.go and plan.go first: they have the steps. Then follow one:
//
//	cri.go, daemon.go, docker.go    the sources, read by read.go, toml.go and imports.go
//	desire.go                       what a hosts.toml should say: endpoint.go, tls.go
//	merge.go, render.go             its text, added to an old one or new (tree.go has the old)
//	note.go, todo.go, stale.go      what a person has to know or do
//	diff.go, write.go               shows the plan, and carries it out
package migrate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// Options say what to read and what to write. The zero value uses the default paths of
// containerd and Docker.
type Options struct {
	// Roots are the certs.d directories to read. nil means [DefaultRoots].
	Roots certsd.Roots
	// Configs are the configurations of containerd and Docker, told apart by their
	// content: JSON is Docker's. A later file of a kind overrides an earlier one. nil
	// means the existing ones in /etc, or, for a user other than root, below
	// $XDG_CONFIG_HOME in preference.
	Configs []string
	// Output is the root to write. Empty means the first of
	// certsd.DefaultRoots.
	Output string
}

// DefaultRoots returns the roots of containerd and Docker, then Podman's.
func DefaultRoots() certsd.Roots {
	return append(certsd.DefaultRoots(), hostdir.PodmanRoots()...)
}

// DefaultOutput returns the root to write if none is named.
func DefaultOutput() string { return certsd.DefaultRoots()[0] }

// defaultConfigs returns the existing files among those that daemons read by default.
func defaultConfigs(euid int, getenv func(string) string, exists func(string) bool) []string {
	var files []string
	for _, name := range []string{"containerd/config.toml", "docker/daemon.json"} {
		candidates := []string{filepath.Join("/etc", name)}
		if euid != 0 {
			if dir := userConfig(getenv); dir != "" {
				candidates = []string{filepath.Join(dir, name), candidates[0]}
			}
		}
		for _, file := range candidates {
			if exists(file) {
				files = append(files, file)
				break
			}
		}
	}
	return files
}

func userConfig(getenv func(string) string) string {
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config")
	}
	return ""
}

// New reads what the options name and plans what to write. It fails if a configuration
// cannot be read, naming the line if possible, or if the root to write cannot be
// examined. Problems of a single registry become notes of the plan.
func New(o Options) (*Plan, error) {
	if o.Roots == nil {
		o.Roots = DefaultRoots()
	}
	if o.Output == "" {
		o.Output = DefaultOutput()
	}
	if o.Configs == nil {
		o.Configs = defaultConfigs(os.Geteuid(), os.Getenv, func(file string) bool {
			_, err := os.Stat(file)
			return err == nil || !os.IsNotExist(err)
		})
	}
	if err := absolute(&o); err != nil {
		return nil, err
	}
	s, err := readSources(o)
	if err != nil {
		return nil, err
	}
	return (&planner{sources: s, plan: &Plan{Output: o.Output}, copied: map[*file]bool{}}).make()
}

// absolute makes the paths absolute: a hosts.toml may name them, where relative ones
// have another base.
func absolute(o *Options) error {
	var errs []error
	abs := func(path string) string {
		path, err := filepath.Abs(path)
		errs = append(errs, err)
		return path
	}
	o.Output = abs(o.Output)
	o.Roots, o.Configs = slices.Clone(o.Roots), slices.Clone(o.Configs)
	for i := range o.Roots {
		o.Roots[i] = abs(o.Roots[i])
	}
	for i := range o.Configs {
		o.Configs[i] = abs(o.Configs[i])
	}
	return errors.Join(errs...)
}
