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
//
// The patterns with which files import others are returned, too: what is written
// later must not be matched by them.
func loadRegistry(files []string) (*document, []imported, error) {
	var merged *document
	var patterns []imported
	by := map[string]place{} // who imports a file, nobody for the first ones
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

// swallows tells of a pattern that would import output, what is written below
// it, or a directory on the way to it that is not there yet: containerd takes
// whatever matches for a configuration and does not start where that is a
// directory.
func swallows(patterns []imported, output string) error {
	for _, p := range patterns {
		if below(p.file, output) {
			return p.by.errorf("%q would import what is written to %s: make it a pattern of other files", p.file, output)
		}
		for dir := output; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			if _, err := os.Lstat(dir); err == nil {
				break // was matched before, if it is
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
