package migrate

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Plan is what to write, with notes.
type Plan struct {
	// Output is the root to write.
	Output string
	// Directories are the directories that change, sorted by name.
	Directories []*Directory
	// Notes are sorted by kind, file and line.
	Notes []Note
	// Denied reports whether this user lacked permission to read something.
	Denied bool
}

// Directory is a host directory that changes.
type Directory struct {
	// Name is its name in the root.
	Name string
	// Copies are the files to copy into it.
	Copies []Copy
	// Hosts is the new hosts.toml, nil if it does not change; Old is the existing one.
	Hosts, Old []byte
}

// Copy is a certificate or key to copy.
type Copy struct {
	// From is the file, Name its name in the directory.
	From, Name string
	// Secret reports whether it holds a private key: only its owner may read it.
	Secret bool

	data []byte
}

// sources are the settings found in configurations and directories.
type sources struct {
	// output is the root to write.
	output string
	notes  notes
	cri    criConfig
	daemon daemonConfig
	docker map[string]*dockerHost // by hostKey
	// others are the directories in output that already have a hosts.toml.
	others []string
}

// planner makes a plan from the sources.
type planner struct {
	*sources
	plan   *Plan
	copied map[*file]bool
	// says reports whether any registry needs a hosts.toml.
	says bool
}

// readSources reads everything that the options name.
func readSources(o Options) (*sources, error) {
	s := &sources{output: o.Output, docker: map[string]*dockerHost{}}
	r := &reader{sources: s, skipped: map[string]bool{}}
	if err := r.configs(o.Configs); err != nil {
		return nil, err
	}
	// The directories that containerd reads now count, too.
	now := slices.DeleteFunc(certsd.ParseRoots(s.cri.configPath), func(root string) bool { return !filepath.IsAbs(root) })
	r.trees(append(o.Roots, now...))
	return s, nil
}

// make plans each directory.
func (p *planner) make() (*Plan, error) {
	t, err := openTree(p.output)
	if err != nil {
		return nil, err
	}
	defer t.close()
	for _, docker := range p.docker {
		docker.settle(t)
	}
	wishes := desirer{truster{p.sources}}
	registries := p.registries()
	for _, registry := range registries {
		if want := wishes.desire(registry); want != nil {
			p.says = true
			p.directory(t, want)
		}
	}
	n := noter{p.sources}
	n.noteOthers(registries)
	n.noteStale()
	n.noteUnused()
	n.noteTodo(p.says)
	p.plan.Directories = slices.DeleteFunc(p.plan.Directories, func(d *Directory) bool { return len(d.Copies) == 0 && d.Hosts == nil })
	slices.SortFunc(p.plan.Directories, func(a, b *Directory) int { return strings.Compare(a.Name, b.Name) })
	p.plan.Notes, p.plan.Denied = p.notes.sorted(), p.notes.denied
	return p.plan, nil
}

// registries returns the registries with settings, sorted, with _default last.
func (p *planner) registries() []string {
	names := map[string]bool{}
	for name := range p.cri.mirrors {
		names[name] = true
	}
	for name := range p.cri.tls {
		if name == hostname.DockerHubServer {
			names[hostname.DockerHub] = true
		}
		names[name] = true
	}
	for name := range p.daemon.insecure {
		names[name] = true
	}
	if len(p.daemon.mirrors) > 0 {
		names[hostname.DockerHub] = true
	}
	for _, host := range p.docker {
		if host.name == hostname.DockerHubServer {
			names[hostname.DockerHub] = true
		}
		names[host.name] = true
	}
	// These two are not registries.
	delete(names, "*")
	delete(names, defaultDir)
	sorted := slices.Sorted(maps.Keys(names))
	sorted = slices.CompactFunc(sorted, func(a, b string) bool { return p.dirName(a) == p.dirName(b) })
	return append(sorted, defaultDir)
}

// directory plans the directory of one registry.
func (p *planner) directory(t *tree, want *host) {
	name := p.dirName(want.registry)
	at := place{file: t.path(name, hostsTOML)}
	old, err := t.hosts(name)
	if err != nil {
		p.notes.add(Left, at, "%v", err)
		return
	}
	if p.alreadyDocker(want, old) {
		return
	}
	text, used, err := merge(old, want, name, p.output)
	if err != nil {
		p.notes.add(Left, at, "%v", err)
		return
	}
	if text == nil {
		return
	}
	d := p.planned(name)
	d.Hosts, d.Old = text, old
	for _, f := range used {
		p.copy(f)
	}
}

// alreadyDocker reports whether a directory in Docker's layout already says it all.
func (p *planner) alreadyDocker(want *host, old []byte) bool {
	if len(old) > 0 || len(want.hosts) > 0 || want.server.skipVerify || want.server.address != "" && !want.plain {
		return false
	}
	files := want.server.files()
	for _, f := range files {
		if !f.present || f.dir != p.dirName(want.registry) {
			return false
		}
	}
	return len(files) > 0
}

// planned returns the directory of this name in the plan, adding it if necessary.
func (p *planner) planned(name string) *Directory {
	for _, d := range p.plan.Directories {
		if d.Name == name {
			return d
		}
	}
	d := &Directory{Name: name}
	p.plan.Directories = append(p.plan.Directories, d)
	return d
}

// copy plans the copy of a file that belongs in the tree.
func (p *planner) copy(f *file) {
	switch {
	case f.inWay != "":
		p.notes.add(Left, place{file: f.inWay}, "is another file than %s, which is named where it is", f.source)
	case f.dir == "" || f.present || p.copied[f]:
	default:
		p.copied[f] = true
		d := p.planned(f.dir)
		d.Copies = append(d.Copies, Copy{From: f.source, Name: f.name, Secret: f.secret, data: f.data})
	}
}

// dirName returns the name of a registry's directory: the existing one, in containerd's
// order, or HOST:PORT.
func (p *sources) dirName(registry string) string {
	if _, _, found := cutPort(registry); found {
		name := hostname.Directories(registry)[0]
		if info, err := os.Stat(filepath.Join(p.output, name)); err == nil && info.IsDir() {
			return name
		}
	}
	return registry
}

// cutPort splits a host:port that hostname.Canonical accepts.
func cutPort(host string) (name, port string, found bool) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") {
		return host, "", false
	}
	return host[:i], host[i+1:], true
}
