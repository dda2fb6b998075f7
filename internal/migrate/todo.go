package migrate

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// noter adds notes about settings without effect, stale copies and remaining work.
type noter struct{ *sources }

// noteUnused notes settings for a host that is never asked.
func (p noter) noteUnused() {
	if c, found := p.cri.tls[hostname.DockerHub]; found {
		p.notes.add(Hint, c.at, "has no effect: images of %s come from %s", hostname.DockerHub, hostname.DockerHubServer)
	}
}

// noteTodo notes what to change in containerd's configuration.
func (p noter) noteTodo(says bool) {
	for _, at := range p.cri.deprecated {
		p.notes.add(Todo, at, "remove it when the new tree is in place: containerd does not take both")
	}
	output, there := tomlpos.Quote(p.output), tomlpos.Quote(p.cri.configPath)
	switch {
	case p.cri.configPath == p.output:
	case p.cri.registry == nil && says:
		at := place{file: p.cri.file, key: dotted(registryTables[len(registryTables)-1])}
		p.notes.add(Todo, at, "set config_path = %s, in version 2 below %s: where it is not set it is a list, "+
			"and stock containerd takes a list for the name of one directory", output, dotted(registryTables[0]))
	case p.cri.registry == nil:
	case p.cri.configPath == "":
		p.notes.add(Todo, *p.cri.registry, "set config_path = %s", output)
	case len(filepath.SplitList(p.cri.configPath)) == 1:
		p.notes.add(Todo, *p.cri.registry, "set config_path = %s in place of %s", output, there)
	default:
		p.notes.add(Todo, *p.cri.registry, "set config_path = %s in place of %s: stock containerd takes a list for the name of one directory", output, there)
	}
}

// noteOthers notes existing directories that keep registries from using _default.
func (p noter) noteOthers(registries []string) {
	if len(p.cri.mirrors["*"].endpoints) == 0 {
		return
	}
	for _, name := range p.others {
		if !slices.ContainsFunc(registries, func(r string) bool { return p.dirName(r) == name }) {
			p.notes.add(Hint, place{file: filepath.Join(p.output, name)}, "the mirrors of all registries are not asked for this one: it has a directory of its own")
		}
	}
}

func (n *notes) sorted() []Note {
	slices.SortStableFunc(n.all, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return n.all
}
