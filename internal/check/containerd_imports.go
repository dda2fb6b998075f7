package check

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/configfiles"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxImports bounds the files of one configuration.
const maxImports = 1000

// part is one of the files of a configuration.
type part struct {
	file   string
	config containerdConfig
}

// read merges a containerd configuration file and its imports into c as containerd
// does: later values win, but disabled_plugins accumulates. Any error keeps containerd
// from starting. It returns the files that begin with a byte order mark, and the file
// that err is about.
func (c *containerdConfig) read(file string) (marked []string, at string, err error) {
	err = configfiles.Walk([]string{file}, maxImports, func(path string) ([]string, error) {
		at = path
		data, err := plainfile.Read(path)
		if err != nil {
			return nil, err
		}
		if plainfile.HasMark(data) {
			marked = append(marked, path)
		}
		if data, err = plainfile.Text(path, data); err != nil {
			return nil, err
		}
		return c.take(path, data)
	})
	var limit *configfiles.LimitError
	switch {
	case err == nil:
		at = file
	case errors.As(err, &limit):
		at = limit.Path
	}
	return marked, at, err
}

// take merges one file into c and returns the files it imports.
func (c *containerdConfig) take(file string, data []byte) ([]string, error) {
	one := part{file: file}
	if err := toml.Unmarshal(data, &one.config); err != nil {
		return nil, &tomlError{err}
	}
	version, disabled := c.Version, c.Disabled
	c.Disabled = nil
	if err := toml.Unmarshal(data, c); err != nil {
		return nil, &tomlError{err}
	}
	if c.Disabled = append(disabled, c.Disabled...); len(c.parts) > 0 {
		c.Version = version
	}
	c.parts = append(c.parts, one)
	files, _, err := configfiles.Resolve(file, one.config.Imports)
	if err != nil {
		return nil, fmt.Errorf("imports: %w", err)
	}
	return files, nil
}

// tomlError reports invalid TOML, or a value of the wrong type.
type tomlError struct{ error }

func (e *tomlError) Unwrap() error { return e.error }

// fileOf returns the last file for which says reports true, or first if there is none.
func (c *containerdConfig) fileOf(first string, says func(*containerdConfig) bool) string {
	for _, p := range slices.Backward(c.parts) {
		if says(&p.config) {
			return p.file
		}
	}
	return first
}
