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
	"strings"
)

// Print writes the files one after another, each below its path.
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

// Write puts the files below dir. A file is there whole or not at all, and one
// with the same text is left alone. A file that was not written by a gateway
// is never replaced: if there is one, nothing is written. Nothing is removed.
func Write(dir string, files []File) error {
	var foreign []error
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		ours, err := replaceable(path)
		if err != nil {
			foreign = append(foreign, err)
		} else if !ours {
			foreign = append(foreign, fmt.Errorf("%s was not written by a gateway: move it away, or add to it by hand", path))
		}
	}
	if err := errors.Join(foreign...); err != nil {
		return err
	}
	for _, f := range files {
		if err := f.write(dir); err != nil {
			return err
		}
	}
	return nil
}

// Leftovers are the files below dir that a gateway has written for registries
// that are not among files: whoever goes by them is refused. Only hosts.toml is
// a file of one registry.
func Leftovers(dir string, files []File) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name(), "hosts.toml")
		if slices.ContainsFunc(files, func(f File) bool { return filepath.Join(dir, filepath.FromSlash(f.Path)) == path }) {
			continue
		}
		// One that cannot be read is not known to be a gateway's.
		text, err := os.ReadFile(path) //nolint:gosec // the directory is the caller's wish
		if err == nil && strings.HasPrefix(string(text), marker) {
			left = append(left, path)
		}
	}
	return left, nil
}

// write puts the file below dir.
func (f File) write(dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	mode := fs.FileMode(0o644)
	if f.Secret {
		mode = 0o600
	}
	if info, err := os.Lstat(path); err == nil && info.Mode() == mode {
		if old, err := os.ReadFile(path); err == nil && string(old) == f.Text { //nolint:gosec // the directory is the caller's wish
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Created with 0600, whatever it becomes.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".certsd-*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(f.Text)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(tmp.Name()))
	}
	return nil
}

// replaceable tells that a file is not there or was written by a gateway.
func replaceable(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	old, err := os.ReadFile(path) //nolint:gosec // as above
	if err != nil {
		return false, err
	}
	return strings.HasPrefix(string(old), marker) || onlyOurs(old), nil
}

// onlyOurs recognises credentials that hold nothing but a gateway's: JSON has
// no place for a marker.
func onlyOurs(text []byte) bool {
	var c dockerConfig
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || len(c.Auths) != 1 {
		return false
	}
	for _, a := range c.Auths {
		user, _, err := a.decode()
		if err != nil || user != User {
			return false
		}
	}
	return true
}
