package migrate

import (
	"cmp"
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
		p.notes.add(Todo, at, "remove it: the new tree says the same, and containerd does not take both")
	}
	if p.cri.registry == nil || p.cri.configPath == p.plan.Output {
		return
	}
	at := *p.cri.registry
	switch {
	case p.cri.configPath != "":
		p.notes.add(Todo, at, "set config_path = %s: it is %s, and stock containerd reads one root", quoted(p.plan.Output), quoted(p.cri.configPath))
	default:
		p.notes.add(Todo, at, "set config_path = %s", quoted(p.plan.Output))
	}
}

func (n *notes) sorted() []Note {
	slices.SortStableFunc(n.all, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return n.all
}
