package check

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxImports bounds the files that one configuration is made of.
const maxImports = 1000

// part is one of the files of a configuration.
type part struct {
	file   string
	config containerdConfig
}

// read reads a file of containerd's configuration over what c has, and what it
// imports, as containerd does: breadth first, each file once, the later over the
// earlier but for disabled_plugins, which come together. What it cannot read
// keeps containerd from starting. It returns the files that begin with a byte
// order mark, and in which file an error is.
func (c *containerdConfig) read(file string) (marked []string, at string, err error) {
	for pending := []string{file}; len(pending) > 0; pending = pending[1:] {
		at = pending[0]
		if slices.ContainsFunc(c.parts, func(p part) bool { return p.file == at }) {
			continue
		}
		if len(c.parts) == maxImports {
			return marked, at, fmt.Errorf("more than %d files are imported", maxImports)
		}
		data, err := plainfile.Read(at)
		if err != nil {
			return marked, at, err
		}
		if plainfile.HasMark(data) {
			marked = append(marked, at)
		}
		if data, err = plainfile.Text(at, data); err != nil {
			return marked, at, err
		}
		one := part{file: at}
		if err := toml.Unmarshal(data, &one.config); err != nil {
			return marked, at, &tomlError{err}
		}
		version, disabled := c.Version, c.Disabled
		c.Disabled = nil
		if err := toml.Unmarshal(data, c); err != nil {
			return marked, at, &tomlError{err}
		}
		if c.Disabled = append(disabled, c.Disabled...); len(c.parts) > 0 {
			c.Version = version
		}
		c.parts = append(c.parts, one)
		for _, pattern := range one.config.Imports {
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(at), pattern)
			}
			files := []string{filepath.Clean(pattern)}
			if isPattern(pattern) {
				if files, err = filepath.Glob(pattern); err != nil {
					return marked, at, fmt.Errorf("imports: %q: %w", pattern, err)
				}
			}
			pending = append(pending, files...)
		}
	}
	return marked, file, nil
}

func isPattern(path string) bool { return slices.Contains([]byte(path), '*') }

// tomlError is why a file is no TOML, or that it has a value of a wrong type.
type tomlError struct{ error }

func (e *tomlError) Unwrap() error { return e.error }

// fileOf is the last of the files that says something, the first one if none
// does alone.
func (c *containerdConfig) fileOf(first string, says func(*containerdConfig) bool) string {
	for _, p := range slices.Backward(c.parts) {
		if says(&p.config) {
			return p.file
		}
	}
	return first
}
