package takeover

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// Write carries out the plan. At any moment, what systemd would start has the
// configuration it needs, or one with which it behaves as before: the unit changes
// before the configuration, and after it when disabling.
func (p *Plan) Write() error {
	if p.program == "" {
		if err := p.config(); err != nil {
			return err
		}
		return p.unit()
	}
	// Change nothing unless containerd accepts the configuration.
	if err := p.check(); err != nil {
		return err
	}
	if err := p.unit(); err != nil {
		return err
	}
	return p.config()
}

// check lets the new containerd read its configuration.
func (p *Plan) check() error {
	if p.options.Check == nil {
		return nil
	}
	// Relative imports require the directory of the old one.
	try := p.Config
	try.Path, try.Old = filepath.Join(filepath.Dir(p.Config.Path), ".certsd-check"), nil
	if err := p.options.put(try); err != nil {
		return err
	}
	err := p.options.Check(p.options.at(p.program), p.options.at(try.Path))
	return errors.Join(err, os.Remove(p.options.at(try.Path)))
}

func (p *Plan) unit() error {
	if p.Unit.none() {
		return nil
	}
	if err := p.options.put(p.Unit); err != nil {
		return err
	}
	// Remove the directory if it is empty.
	if p.Unit.New == nil {
		_ = os.Remove(filepath.Dir(p.options.at(p.Unit.Path)))
	}
	if p.options.Reload == nil {
		return nil
	}
	return p.options.Reload()
}

func (p *Plan) config() error {
	if p.Config.none() {
		return nil
	}
	keep := p.Config
	keep.Path += kept
	keep.New, keep.Old = p.Config.Old, nil
	if p.program != "" && p.Config.Old != nil {
		if err := p.options.put(keep); err != nil {
			return err
		}
	}
	if p.restores {
		// A rename keeps owner, mode and everything else.
		return os.Rename(p.options.at(keep.Path), p.options.at(p.Config.Path))
	}
	return p.options.put(p.Config)
}

// put writes a file atomically, regardless of the umask, or removes it.
func (o Options) put(c Change) error {
	path := o.at(c.Path)
	//nolint:gosec // the unit names it, which is root's
	if now, err := os.ReadFile(path); c.Old != nil && (err != nil || !bytes.Equal(now, c.Old)) {
		return fmt.Errorf("%s has changed meanwhile: nothing is written", c.Path)
	}
	if c.New == nil {
		return os.Remove(path)
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // systemd and everybody reads it
			return err
		}
	}
	options := wholefile.Options{Mode: c.mode}
	if c.owner != nil && os.Geteuid() == 0 {
		options.Owner = &wholefile.Owner{UID: int(c.owner.Uid), GID: int(c.owner.Gid)}
	}
	return wholefile.WritePath(path, c.New, options)
}
