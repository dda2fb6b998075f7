package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/wholefile"
	"github.com/certsd/containerd-certsd/packaging/systemd"
)

// criInstaller installs the image service for systemd on a node whose root is a
// directory here: on nodes without packages, where a pod may write these files.
type criInstaller struct {
	// root is the node's root directory, settings the file with its settings.
	root, settings string
	keep           bool
	stderr         io.Writer
}

// The paths of the installed files.
const (
	installedProgram  = "/opt/certsd/bin/certsd"
	installedSettings = "/etc/certsd/cri.toml"
	installedUnits    = "/etc/systemd/system"
)

// keepEvery is the interval at which --keep checks the files.
const keepEvery = time.Minute

// installedBy is the first line of files that may be overwritten.
const installedBy = "# Installed by certsd cri, which writes over it.\n"

func (i *criInstaller) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "install", Usage: "serve nothing; write the program, its settings and systemd units below `DIR`, the root of a node", Destination: &i.root},
		&cli.BoolFlag{Name: "keep", Usage: "with --install: check every minute that all files are there, until interrupted", Destination: &i.keep},
	}
}

// asked reports whether one of the flags was given.
func (i *criInstaller) asked() bool { return i.root != "" || i.keep }

// run installs the files, and with --keep restores what goes missing.
func (i *criInstaller) run(ctx context.Context, c *cli.Command) error {
	if i.root == "" {
		return &usageError{errors.New("--keep needs --install DIR")}
	}
	for _, name := range c.LocalFlagNames() {
		if c.IsSet(name) && name != "install" && name != "keep" && name != "config" {
			return &usageError{fmt.Errorf("--%s is not installed: put it into the file of --config", name)}
		}
	}
	if !filepath.IsAbs(i.root) {
		return &usageError{fmt.Errorf("--install: %s is not an absolute path", i.root)}
	}
	if err := i.install(); err != nil || !i.keep {
		return err
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := i.install(); err != nil {
				return err
			}
		}
	}
}

// installed is a file to install on the node.
type installed struct {
	path string
	data []byte
	mode fs.FileMode
	// ours reports whether the existing file may be overwritten.
	ours func(now []byte) bool
}

// startLine matches the unit's command.
var startLine = regexp.MustCompile(`(?m)^ExecStart=.*$`)

// files returns the files in the order of writing: the units come after what they need.
func (i *criInstaller) files() ([]installed, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(self) //nolint:gosec // this program
	if err != nil {
		return nil, err
	}
	settings := []byte("# All settings are the defaults.\n")
	if i.settings != "" {
		if settings, err = os.ReadFile(i.settings); err != nil {
			return nil, err
		}
	}
	service := startLine.ReplaceAllLiteralString(systemd.CRIService, "ExecStart="+installedProgram+" cri --config "+installedSettings)
	ours := func(now []byte) bool { return bytes.HasPrefix(now, []byte(installedBy)) }
	text := func(path, text string) installed {
		return installed{path, []byte(installedBy + text), 0o644, ours}
	}
	return []installed{
		{installedProgram, program, 0o755, func([]byte) bool { return true }},
		text(installedSettings, string(settings)),
		text(installedUnits+"/certsd-cri.socket", systemd.CRISocket),
		text(installedUnits+"/certsd-cri.service", service),
	}, nil
}

// wants are the links that make systemd start the units.
var wants = map[string]string{
	installedUnits + "/sockets.target.wants/certsd-cri.socket":     installedUnits + "/certsd-cri.socket",
	installedUnits + "/multi-user.target.wants/certsd-cri.service": installedUnits + "/certsd-cri.service",
}

// install writes what is missing, and says so.
func (i *criInstaller) install() error {
	files, err := i.files()
	if err != nil {
		return err
	}
	// Write nothing unless all of them may be written.
	missing := make([]bool, len(files))
	for n, f := range files {
		if missing[n], err = f.missing(i.root); err != nil {
			return err
		}
	}
	for n, f := range files {
		if !missing[n] {
			continue
		}
		if err := f.write(i.root); err != nil {
			return err
		}
		fmt.Fprintf(i.stderr, "certsd cri: wrote %s\n", f.path)
	}
	changed := slices.Contains(missing, true)
	for link, target := range wants {
		made, err := linked(filepath.Join(i.root, link), target)
		if err != nil {
			return err
		}
		changed = changed || made
	}
	if changed {
		fmt.Fprintln(i.stderr, "certsd cri: the node's systemd starts it at its next start, or by: systemctl daemon-reload && systemctl restart certsd-cri.socket certsd-cri.service")
	}
	return nil
}

// missing reports whether the file must be written. A file that certsd did not install
// is an error.
func (f *installed) missing(root string) (bool, error) {
	now, err := os.ReadFile(filepath.Join(root, f.path)) //nolint:gosec // below the directory that is asked for
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case !f.ours(now):
		return false, &configError{fmt.Errorf("%s exists, and certsd cri did not install it: remove it, unless the node already has the image service", f.path)}
	}
	return !bytes.Equal(now, f.data), nil
}

func (f *installed) write(root string) error {
	path := filepath.Join(root, f.path)
	if err := directory(filepath.Dir(path)); err != nil {
		return err
	}
	return wholefile.WritePath(path, f.data, wholefile.Options{Mode: f.mode})
}

// linked creates a symbolic link, and reports whether it was missing.
func linked(path, target string) (bool, error) {
	if now, err := os.Readlink(path); err == nil && now == target {
		return false, nil
	}
	if err := directory(filepath.Dir(path)); err != nil {
		return false, err
	}
	return true, os.Symlink(target, path)
}

// directory creates a directory that everybody can read, whatever the umask.
func directory(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)) //nolint:gosec // systemd and everybody reads it
}
