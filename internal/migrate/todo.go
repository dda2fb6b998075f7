package migrate

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// noteUnused notes settings of hosts that nobody asks by TLS.
func (p *planner) noteUnused() {
	if c, found := p.cri.tls[dockerHub]; found {
		p.notes.add(Hint, c.at, "has no effect: images of %s come from %s", dockerHub, hubServer)
	}
}

// noteTodo tells what to do with containerd's configuration.
func (p *planner) noteTodo() {
	for _, at := range p.cri.deprecated {
		p.notes.add(Todo, at, "remove it when the new tree is in place: containerd does not take both")
	}
	if p.cri.registry == nil || p.cri.configPath == p.plan.Output {
		return
	}
	at, output, there := *p.cri.registry, quoted(p.plan.Output), quoted(p.cri.configPath)
	switch len(filepath.SplitList(p.cri.configPath)) {
	case 0:
		p.notes.add(Todo, at, "set config_path = %s", output)
	case 1:
		p.notes.add(Todo, at, "set config_path = %s in place of %s", output, there)
	default:
		p.notes.add(Todo, at, "set config_path = %s in place of %s: stock containerd takes a list for the name of one directory", output, there)
	}
}

func (n *notes) sorted() []Note {
	slices.SortStableFunc(n.all, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return n.all
}
