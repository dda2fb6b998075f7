package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/internal/safepath"
	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// mode returns the mode of the copy.
func (c Copy) mode() fs.FileMode {
	if c.Secret {
		return 0o600
	}
	return 0o644
}

// Write carries out the plan. Each file, or new directory with its files, is written
// under another name and renamed once it is complete on disk; nothing is removed.
// Certificates and keys precede every hosts.toml, and _default comes last: an
// interrupted run leaves a usable tree, and a second one completes it.
//
// It returns the paths of the files written, even with an error.
func (p *Plan) Write() ([]string, error) { return p.write(func(string) error { return nil }) }

// write calls step before each change of the disk and treats its error as the disk's.
func (p *Plan) write(step func(what string) error) ([]string, error) {
	if len(p.Directories) == 0 {
		return nil, nil
	}
	w := &writer{output: p.Output, step: step}
	root, err := p.open()
	if err != nil {
		return nil, w.failed("", err)
	}
	defer root.Close()
	w.root = root
	for _, d := range p.inOrder() {
		if err := w.files(d.Name, d.copies()); err != nil {
			return w.written, err
		}
	}
	for _, d := range p.inOrder() {
		if d.Hosts == nil {
			continue
		}
		if err := w.hosts(d); err != nil {
			return w.written, err
		}
	}
	return w.written, nil
}

// open opens the root, creating it if necessary.
func (p *Plan) open() (*os.Root, error) {
	if err := safepath.MkdirAll(p.Output, 0o755); err != nil {
		return nil, err
	}
	for _, d := range p.Directories {
		if err := safepath.Tree(filepath.Join(p.Output, d.Name)); err != nil {
			return nil, err
		}
	}
	return os.OpenRoot(p.Output)
}

// inOrder returns the directories with _default last: it serves registries whose own
// directory does not exist yet.
func (p *Plan) inOrder() []*Directory {
	dirs := slices.Clone(p.Directories)
	slices.SortStableFunc(dirs, func(a, b *Directory) int {
		switch defaultDir {
		case a.Name:
			return 1
		case b.Name:
			return -1
		}
		return 0
	})
	return dirs
}

// content is a file to write.
type content struct {
	name string
	data []byte
	mode fs.FileMode
	// old is the content that may be replaced, nil if none may.
	old []byte
}

// copies returns the files to copy: keys before certificates, which alone would be an
// error, and CA roots last.
func (d *Directory) copies() []content {
	var files []content
	for _, c := range d.Copies {
		files = append(files, content{name: c.Name, data: c.data, mode: c.mode()})
	}
	rank := func(c content) int {
		return slices.Index([]string{".key", ".cert", ".crt"}, filepath.Ext(c.name))
	}
	slices.SortStableFunc(files, func(a, b content) int { return rank(a) - rank(b) })
	return files
}

// writer writes below a root and never leaves it.
type writer struct {
	root   *os.Root
	output string
	step   func(what string) error
	// written are the paths of the completed files.
	written []string
}

// hosts writes the hosts.toml of a directory.
func (w *writer) hosts(d *Directory) error {
	c := content{name: hostsTOML, data: d.Hosts, mode: 0o644, old: d.Old}
	if info, err := w.root.Lstat(filepath.Join(d.Name, hostsTOML)); err == nil {
		c.mode = info.Mode().Perm()
	}
	return w.files(d.Name, []content{c})
}

// files writes files into a directory. A new directory appears together with all of
// them.
func (w *writer) files(dir string, files []content) error {
	if len(files) == 0 {
		return nil
	}
	_, err := w.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.create(dir, files)
	case err != nil:
		return w.failed(dir, err)
	}
	for _, c := range files {
		if err := w.replace(dir, c); err != nil {
			return err
		}
	}
	return w.sync(dir)
}

// create fills a directory under another name and renames it.
func (w *writer) create(dir string, files []content) (err error) {
	tmp := wholefile.Temporary(dir)
	if err := w.do("create "+dir, func() error { return w.root.Mkdir(tmp, 0o755) }); err != nil {
		return w.failed(dir, err)
	}
	defer func() {
		if err != nil {
			_ = w.root.RemoveAll(tmp)
		}
	}()
	for _, c := range files {
		if err := w.put(filepath.Join(tmp, c.name), filepath.Join(dir, c.name), c); err != nil {
			return err
		}
	}
	if err := w.sync(tmp); err != nil {
		return err
	}
	if err := w.do("rename "+dir, func() error { return w.root.Rename(tmp, dir) }); err != nil {
		return w.failed(dir, err)
	}
	for _, c := range files {
		w.written = append(w.written, filepath.Join(w.output, dir, c.name))
	}
	return w.sync(".")
}

// replace writes one file in an existing directory.
func (w *writer) replace(dir string, c content) (err error) {
	file := filepath.Join(dir, c.name)
	tmp := filepath.Join(dir, wholefile.Temporary(c.name))
	if err := w.unchanged(file, c.old); err != nil {
		return err
	}
	if err := w.put(tmp, file, c); err != nil {
		return err
	}
	if err := w.do("rename "+file, func() error { return w.root.Rename(tmp, file) }); err != nil {
		_ = w.root.Remove(tmp)
		return w.failed(file, err)
	}
	w.written = append(w.written, filepath.Join(w.output, file))
	return nil
}

// unchanged fails if a file was created or changed since the plan was made.
func (w *writer) unchanged(file string, old []byte) error {
	info, err := w.root.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return w.failed(file, err)
	}
	if !info.Mode().IsRegular() || old == nil {
		return w.failed(file, errors.New("has appeared meanwhile"))
	}
	now, err := w.root.ReadFile(file)
	if err != nil {
		return w.failed(file, err)
	}
	if !bytes.Equal(now, old) {
		return w.failed(file, errors.New("has changed meanwhile"))
	}
	return nil
}

// put writes a complete new file to disk.
func (w *writer) put(tmp, file string, c content) error {
	create := func() error {
		_, err := wholefile.Create(w.root, tmp, c.data, wholefile.Options{Mode: c.mode})
		return err
	}
	if err := w.do("write "+file, create); err != nil {
		return w.failed(file, err)
	}
	return nil
}

// sync flushes a directory's names to disk.
func (w *writer) sync(dir string) error {
	if err := wholefile.Sync(w.root, dir); err != nil {
		return w.failed(dir, err)
	}
	return nil
}

func (w *writer) do(what string, change func() error) error {
	if err := w.step(what); err != nil {
		return err
	}
	return change()
}

func (w *writer) failed(name string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	var linkErr *os.LinkError
	if errors.As(err, &linkErr) {
		err = linkErr.Err
	}
	return fmt.Errorf("cannot write %s: %w", filepath.Join(w.output, name), err)
}
