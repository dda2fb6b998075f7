package migrate

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/internal/configfiles"
)

const (
	// newestConfig is the newest supported version of containerd's configuration:
	// containerd 2.4's.
	newestConfig = 4
	// maxConfigs bounds the files of one configuration.
	maxConfigs = 1000
)

// registryTables are the places of the CRI plugin's registry settings; an earlier one
// hides the later. The first two are from versions 1 and 2; containerd moves them to
// the third unless the version is the newest.
var registryTables = [][]string{
	{"plugins", "io.containerd.grpc.v1.cri", "registry"},
	{"plugins", "cri", "registry"},
	{"plugins", "io.containerd.cri.v1.images", "registry"},
}

// loadRegistry reads containerd's configuration files and their imports, and returns
// the registry settings, nil if there are none. Like containerd
// (cmd/containerd/server/config) it reads breadth first, each file once, later files
// over earlier ones.
//
// It also returns the patterns of imports, which must not match what is written later.
func loadRegistry(files []string) (*document, []imported, error) {
	var merged *document
	var patterns []imported
	by := map[string]place{} // the import of each file, empty for the first ones
	for _, file := range files {
		by[file] = place{}
	}
	err := configfiles.Walk(files, maxConfigs, func(path string) ([]string, error) {
		doc, imports, globs, err := loadFile(imported{path, by[path]})
		if err != nil {
			return nil, err
		}
		if doc != nil {
			merged = doc.over(merged)
		}
		patterns = append(patterns, globs...)
		var paths []string
		for _, i := range imports {
			if _, known := by[i.file]; !known {
				by[i.file] = i.by
			}
			paths = append(paths, i.file)
		}
		return paths, nil
	})
	var limit *configfiles.LimitError
	if errors.As(err, &limit) {
		err = imported{limit.Path, by[limit.Path]}.failed(limit)
	}
	if err != nil {
		return nil, nil, err
	}
	return merged, patterns, nil
}

// swallows fails if a pattern would import output, something below it, or a missing
// parent of it: containerd takes every match for a configuration and does not start if
// it is a directory.
func swallows(patterns []imported, output string) error {
	for _, p := range patterns {
		if below(p.file, output) {
			return p.by.errorf("%q would import what is written to %s: make it a pattern of other files", p.file, output)
		}
		for dir := output; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Lstat(dir); err == nil {
				break // if it matches, it did before
			}
			if ok, _ := filepath.Match(p.file, dir); ok {
				return p.by.errorf("%q would import %s, which is to be written, and containerd would not start any more: make it a pattern of files, such as %q",
					p.file, dir, p.file+".toml")
			}
		}
	}
	return nil
}

// below reports whether a pattern may match something in a directory.
func below(pattern, dir string) bool {
	depth := strings.Count(dir, string(filepath.Separator))
	parts := strings.Split(pattern, string(filepath.Separator))
	if len(parts) <= depth+1 {
		return false
	}
	ok, _ := filepath.Match(strings.Join(parts[:depth+1], string(filepath.Separator)), dir)
	return ok
}

// imported is a file to read, and the place that imports it.
type imported struct {
	file string
	by   place
}

// failed adds the importing place to an error.
func (i imported) failed(err error) error {
	if i.by.file == "" {
		return err
	}
	return i.by.errorf("%w", err)
}

// loadFile reads one file, and returns its registry settings, nil if it has none, and
// its imports.
func loadFile(i imported) (registry *document, imports, patterns []imported, err error) {
	file := i.file
	data, err := readConfig(file)
	if err != nil {
		return nil, nil, nil, i.failed(err)
	}
	doc, err := parseTOML(file, data)
	if err != nil {
		return nil, nil, nil, err
	}
	root := doc.table()
	version := root.int("version")
	if version < 0 || version > newestConfig {
		return nil, nil, nil, root.at("version").errorf("%d is unknown: versions up to %d can be read", version, newestConfig)
	}
	paths, globs, err := configfiles.Resolve(file, root.strings("imports"))
	if err != nil {
		return nil, nil, nil, root.at("imports").errorf("%w", err)
	}
	for _, path := range paths {
		imports = append(imports, imported{path, root.at("imports")})
	}
	for _, glob := range globs {
		patterns = append(patterns, imported{glob, root.at("imports")})
	}
	for _, path := range registryTables {
		if version >= newestConfig && path[1] != "io.containerd.cri.v1.images" {
			continue
		}
		registry = cmp.Or(registry, doc.sub(path...))
	}
	if len(doc.errs) > 0 {
		return nil, nil, nil, doc.errs[0]
	}
	return registry, imports, patterns, nil
}
