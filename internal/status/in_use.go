package status

import (
	"cmp"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
)

// InUse is a registry with its present configuration.
type InUse struct {
	Name string
	// Host is the configuration in use, nil if Err is set.
	Host *certsd.Host
	Err  error

	memory *Memory
	repos  []Repository
}

// InUse returns the registries that were looked up, with their present configuration,
// sorted by name. It leaves out those without a directory that were never asked for
// anything.
func (s *State) InUse() []InUse {
	s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []InUse
	for k, r := range s.registries {
		u := InUse{Name: k.name, Host: r.host, Err: r.err, memory: r.memory}
		for name, repo := range r.repos {
			u.repos = append(u.repos, Repository{Name: name, Host: repo.host, Accepted: repo.accepted, Refused: repo.refused})
		}
		if u.Host == nil && u.Err == nil || u.Host != nil && u.Host.Dir == "" && len(u.repos) == 0 {
			continue
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b InUse) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// look looks registries up as a pull would: replaced files show even if nobody pulls.
// It limits their number, because each costs a stat of each of its files.
func (s *State) look() {
	for _, k := range s.due() {
		// A lookup that finds a change calls Load.
		host, err := k.from.Lookup(k.name)
		s.mu.Lock()
		if r := s.registries[k]; r != nil {
			r.host, r.err, r.looked = host, err, s.now()
		}
		s.mu.Unlock()
	}
}

// due returns the registries to look up.
func (s *State) due() []key {
	s.mu.Lock()
	defer s.mu.Unlock()
	type known struct {
		key
		*registry
	}
	all := make([]known, 0, len(s.registries))
	for k, r := range s.registries {
		all = append(all, known{k, r})
	}
	n := len(all)
	if n > s.looks {
		slices.SortFunc(all, func(a, b known) int {
			return cmp.Or(a.unknown()-b.unknown(), a.looked.Compare(b.looked), cmp.Compare(a.name, b.name))
		})
		// Those that nothing is known about are all due.
		n = s.looks
		for n < len(all) && all[n].unknown() < 0 {
			n++
		}
	}
	keys := make([]key, n)
	for i := range keys {
		keys[i] = all[i].key
	}
	return keys
}

// unknown orders registries that were not looked up yet, for the status or a pull,
// before others.
func (r *registry) unknown() int {
	if r.host == nil && r.err == nil {
		return -1
	}
	return 0
}
