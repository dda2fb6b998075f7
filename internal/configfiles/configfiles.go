// Package configfiles finds the files that make up a configuration of containerd,
// as containerd does: cmd/containerd/server/config.
package configfiles

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// LimitError reports that a configuration has more files than the limit.
type LimitError struct {
	// Path is the first file that was not read, Most the limit.
	Path string
	Most int
}

func (e *LimitError) Error() string { return fmt.Sprintf("more than %d files are imported", e.Most) }

// Walk reads files and their imports, breadth first and each once: later files override
// earlier ones. read returns the imports of a file, as found by [Resolve]. The error is
// one from read, or a *[LimitError].
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

// Resolve returns the paths that a file imports: relative ones start at the file's
// directory, and those with a star are patterns whose matches are imported.
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
