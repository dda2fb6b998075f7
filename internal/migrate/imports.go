package migrate

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	// newestConfig is the newest version of containerd's configuration that is
	// understood, that of containerd 2.4.
	newestConfig = 4
	// maxConfigs bounds the files that one configuration may be made of.
	maxConfigs = 1000
)

// registryTables are where the registry settings of the CRI plugin are, in the
// order in which one hides the next. The first two are of versions 1 and 2;
// containerd moves them to the third unless the version is the newest.
var registryTables = [][]string{
	{"plugins", "io.containerd.grpc.v1.cri", "registry"},
	{"plugins", "cri", "registry"},
	{"plugins", "io.containerd.cri.v1.images", "registry"},
}

// loadRegistry reads containerd's configuration files, with what they import,
// and returns the registry settings, nil if there are none. It reads as
// containerd does, cmd/containerd/server/config: breadth first, each file
// once, later files over earlier ones.
func loadRegistry(files []string) (*document, error) {
	var merged *document
	loaded := map[string]bool{}
	var pending []imported
	for _, file := range files {
		pending = append(pending, imported{file: file})
	}
	for len(pending) > 0 {
		next := pending[0]
		pending = pending[1:]
		if loaded[next.file] {
			continue
		}
		if len(loaded) == maxConfigs {
			return nil, next.failed(fmt.Errorf("more than %d files are imported", maxConfigs))
		}
		loaded[next.file] = true
		doc, imports, err := loadFile(next)
		if err != nil {
			return nil, err
		}
		if doc != nil {
			merged = doc.over(merged)
		}
		pending = append(pending, imports...)
	}
	return merged, nil
}

// imported is a file to read, and where it is imported.
type imported struct {
	file string
	by   place
}

// failed names who imports the file.
func (i imported) failed(err error) error {
	if i.by.file == "" {
		return err
	}
	return i.by.errorf("%w", err)
}

// loadFile reads one file: its registry settings, nil if it has none, and the
// files it imports.
func loadFile(i imported) (*document, []imported, error) {
	file := i.file
	data, err := readConfig(file)
	if err != nil {
		return nil, nil, i.failed(err)
	}
	doc, err := parseTOML(file, data)
	if err != nil {
		return nil, nil, err
	}
	root := doc.table()
	version := root.int("version")
	if version < 0 || version > newestConfig {
		return nil, nil, root.at("version").errorf("%d is unknown: versions up to %d can be read", version, newestConfig)
	}
	paths, err := resolveImports(file, root.strings("imports"))
	if err != nil {
		return nil, nil, root.at("imports").errorf("%w", err)
	}
	var imports []imported
	for _, path := range paths {
		imports = append(imports, imported{path, root.at("imports")})
	}
	var registry *document
	for _, path := range registryTables {
		if version >= newestConfig && path[1] != "io.containerd.cri.v1.images" {
			continue
		}
		registry = cmp.Or(registry, doc.sub(path...))
	}
	if len(doc.errs) > 0 {
		return nil, nil, doc.errs[0]
	}
	return registry, imports, nil
}

// resolveImports makes paths of what a file imports: relative ones begin at
// the file's directory, and those with a star are patterns.
func resolveImports(file string, imports []string) ([]string, error) {
	var files []string
	for _, path := range imports {
		if path = filepath.Clean(path); !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		if !strings.Contains(path, "*") {
			files = append(files, path)
			continue
		}
		matches, err := filepath.Glob(path)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
		files = append(files, matches...)
	}
	return files, nil
}
