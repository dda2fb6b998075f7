package gatewayconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/safepath"
	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// Print writes the files one after another, each after a line with its path.
func Print(w io.Writer, files []File) error {
	for i, f := range files {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(w, "%s# --- %s\n%s", gap, f.Path, f.Text); err != nil {
			return err
		}
	}
	return nil
}

// Write writes the files below dir, which must be the user's own. Each is written
// completely or not at all, and left alone if its text is the same. A file that was not
// written by a gateway is never replaced: if there is one, nothing is written. Nothing
// is removed.
func Write(dir string, files []File) error {
	if err := safepath.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var foreign []error
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := safepath.Own(filepath.Dir(path)); err != nil {
			foreign = append(foreign, err)
			continue
		}
		ours, err := replaceable(root, f.Path)
		if err != nil {
			foreign = append(foreign, fmt.Errorf("%s: %w", path, err))
		} else if !ours {
			foreign = append(foreign, fmt.Errorf("%s was not written by a gateway: move it away, or add to it by hand", path))
		}
	}
	if err := errors.Join(foreign...); err != nil {
		return err
	}
	for _, f := range files {
		if err := f.write(root); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(dir, filepath.FromSlash(f.Path)), err)
		}
	}
	return nil
}

// Leftovers returns the files below dir that a gateway has written for registries that
// are not in files: the gateway refuses clients that use them. Only hosts.toml files
// belong to a single registry.
func Leftovers(dir string, files []File) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var left []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name(), "hosts.toml")
		if slices.ContainsFunc(files, func(f File) bool { return filepath.Join(dir, filepath.FromSlash(f.Path)) == path }) {
			continue
		}
		// A file that cannot be read is not known to be a gateway's.
		text, err := readRegular(root, filepath.Join(entry.Name(), "hosts.toml"))
		if err == nil && bytes.HasPrefix(text, []byte(marker)) {
			left = append(left, path)
		}
	}
	return left, nil
}

// maxOld bounds the files read in bytes, well above the size of any written here.
const maxOld = 4 << 20

// readRegular reads a plain file: a pipe would block, and a device has no end.
func readRegular(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxOld))
}

// write writes the file below root, never outside of it.
func (f File) write(root *os.Root) error {
	mode := fs.FileMode(0o644)
	if f.Secret {
		mode = 0o600
	}
	name := filepath.FromSlash(f.Path)
	if info, err := root.Lstat(name); err == nil && info.Mode() == mode {
		if old, err := readRegular(root, name); err == nil && string(old) == f.Text {
			return nil
		}
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return wholefile.Write(root, name, []byte(f.Text), wholefile.Options{Mode: mode})
}

// replaceable reports whether a file is missing or was written by a gateway.
func replaceable(root *os.Root, path string) (bool, error) {
	name := filepath.FromSlash(path)
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	old, err := readRegular(root, name)
	if err != nil {
		return false, err
	}
	return bytes.HasPrefix(old, []byte(marker)) || onlyOurs(old), nil
}

// onlyOurs reports whether a file holds only a gateway's credentials: JSON has no place
// for a marker.
func onlyOurs(text []byte) bool {
	var c map[string]map[string]map[string]string
	if json.Unmarshal(text, &c) != nil || tokens(text) != 10 || len(c["auths"]) != 1 {
		return false
	}
	for _, fields := range c["auths"] {
		auth, found := fields["auth"]
		user, _, err := dockerAuth{Auth: auth}.decode()
		return found && err == nil && user == User
	}
	return false
}

// tokens counts the tokens of JSON, including repeated names, which decoding would
// hide.
func tokens(text []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := d.Token(); err != nil {
			return n
		}
		n++
	}
}
