// Package configfiles finds the files that make up a configuration of containerd,
// as containerd does: cmd/containerd/server/config.
package configfiles

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// LimitError reports that a configuration is made of more files than are read.
type LimitError struct {
	// Path is the first that is not read, Most how many are.
	Path string
	Most int
}

func (e *LimitError) Error() string { return fmt.Sprintf("more than %d files are imported", e.Most) }

// Walk reads files and what they import: breadth first and each once, so that what
// is read later holds over what was read before. read returns what a file imports,
// by way of [Resolve]. The error is that of read, or a *[LimitError].
func Walk(files []string, most int, read func(path string) (imports []string, err error)) error {
	known := map[string]bool{}
	for pending := slices.Clone(files); len(pending) > 0; pending = pending[1:] {
		path := pending[0]
		if known[path] {
			continue
		}
		if len(known) == most {
			return &LimitError{path, most}
		}
		known[path] = true
		imports, err := read(path)
		if err != nil {
			return err
		}
		pending = append(pending, imports...)
	}
	return nil
}

// Resolve makes paths of what a file imports: relative ones begin at the file's
// directory, and those with a star are patterns, of which the matches are read.
func Resolve(file string, imports []string) (paths, patterns []string, err error) {
	for _, path := range imports {
		if path = filepath.Clean(path); !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if !strings.Contains(path, "*") {
			paths = append(paths, path)
			continue
		}
		patterns = append(patterns, path)
		matches, err := filepath.Glob(path)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", path, err)
		}
		paths = append(paths, matches...)
	}
	return paths, patterns, nil
}
