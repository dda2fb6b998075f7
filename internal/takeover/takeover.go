// Package takeover makes systemd start a containerd of this project instead of
// the machine's own, and undoes that.
//
// Two files change: a drop-in of containerd's unit, and containerd's
// configuration, whose old version is kept. No file of another package is
// touched. takeover.go plans it from unit.go and config.go; write.go does it.
package takeover

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/diff"
)

// Options say where things are. The zero value fits a real machine.
type Options struct {
	// Root is prepended to all paths, for tests; empty means "/".
	Root string
	// Line is the release line, such as 2.3. Empty disables any line.
	Line string
	// Check tests a program with the configuration it would use.
	Check func(program, config string) error
	// Reload is called after units have changed.
	Reload func() error
}

const (
	home     = "/usr/lib/containerd-certsd"
	dropIn   = "/etc/systemd/system/containerd.service.d/zz-certsd.conf"
	standard = "/etc/containerd/config.toml"
	// kept is the suffix of the old configuration's name.
	kept = ".before-certsd"
)

// Program returns the path of a line's containerd.
func Program(line string) string { return filepath.Join(home, line, "containerd") }

// Change is a change of a file. Old is nil if the file does not exist, New if it is
// removed.
type Change struct {
	Path     string
	Old, New []byte

	mode fs.FileMode
	// owner is the file's future owner, nil for the current user.
	owner *syscall.Stat_t
}

// Plan is what to change.
type Plan struct {
	options Options
	// Unit and Config are the two changes, either of which may be empty.
	Unit, Config Change
	// program is the containerd to check the configuration with, empty when disabling.
	program string
	// restores reports whether the kept file is moved back to Config.
	restores bool
}

// at returns a path below the root.
func (o Options) at(path string) string { return filepath.Join("/", o.Root, path) }

// read reads a file that may be missing.
func (o Options) read(path string) (Change, error) {
	// A configuration manager may have put a link there, which stays.
	if target, err := filepath.EvalSymlinks(o.at(path)); err == nil && o.Root == "" {
		path = target
	}
	data, err := os.ReadFile(o.at(path))
	c := Change{Path: path, mode: 0o644}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return c, err
	}
	info, err := os.Stat(o.at(path))
	if err != nil {
		return c, err
	}
	c.Old, c.New, c.mode = nonNil(data), nonNil(data), info.Mode().Perm()
	c.owner, _ = info.Sys().(*syscall.Stat_t)
	return c, nil
}

// nonNil returns data, or an empty slice for nil: the file exists even if empty.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

func (c Change) none() bool { return (c.Old == nil) == (c.New == nil) && bytes.Equal(c.Old, c.New) }

// Nothing reports whether there is nothing to change.
func (p *Plan) Nothing() bool { return p.Unit.none() && p.Config.none() }

// Diff returns the plan as unified diffs.
func (p *Plan) Diff() []byte {
	var b bytes.Buffer
	for _, c := range []Change{p.Unit, p.Config} {
		if c.none() {
			continue
		}
		old, now := c.Path, c.Path
		if c.Old == nil {
			old = os.DevNull
		}
		if c.New == nil {
			now = os.DevNull
		}
		_, text, _ := bytes.Cut(diff.Diff(old, c.Old, now, c.New), []byte("\n"))
		b.Write(text)
	}
	return b.Bytes()
}

// Enable plans to start a line's containerd.
func Enable(o Options) (*Plan, error) {
	if _, err := os.Stat(o.at(Program(o.Line))); err != nil {
		return nil, fmt.Errorf("containerd of the line %s is not installed: %w: install the package containerd-certsd-%s", o.Line, err, o.Line)
	}
	u, err := o.unit()
	if err != nil {
		return nil, err
	}
	p := &Plan{options: o, program: Program(o.Line)}
	if p.Unit, err = o.read(dropIn); err != nil {
		return nil, err
	}
	if p.Unit.Old != nil && !isOurs(p.Unit.Old) {
		return nil, fmt.Errorf("%s exists, and certsd did not write it: remove it", dropIn)
	}
	p.Unit.New = []byte(u.dropIn(o.Line))
	if u.later != "" {
		return nil, fmt.Errorf("%s sets ExecStart and counts after %s: give it a name that comes before zz-certsd.conf", u.later, dropIn)
	}
	if p.Config, err = o.read(u.config()); err != nil {
		return nil, err
	}
	if p.Config.New, err = enabled(p.Config.Old); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Config.Path, err)
	}
	return p, nil
}

// Disable plans to undo Enable. If o names a line, it does so only for that line.
func Disable(o Options) (*Plan, error) {
	p := &Plan{options: o}
	var err error
	if p.Unit, err = o.read(dropIn); err != nil {
		return nil, err
	}
	switch {
	case p.Unit.Old == nil:
		return p, nil
	case !isOurs(p.Unit.Old):
		return nil, fmt.Errorf("certsd did not write %s: remove it yourself", dropIn)
	case o.Line != "" && !bytes.Contains(p.Unit.Old, []byte(Program(o.Line))):
		// systemd starts another line's containerd.
		p.Unit.New = p.Unit.Old
		return p, nil
	}
	p.Unit.New = nil
	u, err := o.unit()
	if err != nil {
		return nil, err
	}
	if p.Config, err = o.read(u.config()); err != nil || p.Config.Old == nil {
		return p, err
	}
	before, err := o.read(p.Config.Path + kept)
	if err != nil {
		return nil, err
	}
	if as, err := enabled(before.Old); err == nil && bytes.Equal(as, p.Config.Old) {
		p.Config.New, p.restores = before.Old, before.Old != nil
		return p, nil
	}
	if before.Old == nil {
		// Nothing was added to the configuration.
		return p, nil
	}
	// Keep what has changed since.
	p.Config.New = disabled(p.Config.Old)
	return p, nil
}
