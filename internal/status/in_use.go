package status

import (
	"cmp"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// InUse is a registry as it is configured now.
type InUse struct {
	Name string
	// Host is what is in use, nil with Err.
	Host *certsd.Host
	Err  error

	memory *Memory
	repos  []Repository
}

// InUse are the registries that were looked up, as they are configured now, in the
// order of their names. Those without a directory are among them only if they were
// asked for something.
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

// look looks up registries as a pull would: a file that was replaced shows though
// nobody pulls. That costs a stat of each of their files, so that it is not done for
// very many at a time.
func (s *State) look() {
	for _, k := range s.due() {
		// A lookup that meets a change calls Load.
		host, err := k.from.Lookup(k.name)
		s.mu.Lock()
		if r := s.registries[k]; r != nil {
			r.host, r.err, r.looked = host, err, s.now()
		}
		s.mu.Unlock()
	}
}

// due are the registries to be looked up.
func (s *State) due() []key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]key, 0, len(s.registries))
	for k := range s.registries {
		keys = append(keys, k)
	}
	if len(keys) <= s.looks {
		return keys
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(s.registries[a].looked.Compare(s.registries[b].looked), cmp.Compare(a.name, b.name))
	})
	// Those that nothing is known of are all due.
	n := s.looks
	for n < len(keys) && s.registries[keys[n]].looked.IsZero() {
		n++
	}
	return keys[:n]
}

// descriptions are the words for certificates: to put a name together costs more
// than all else. Its zero value is ready.
type descriptions struct {
	mu sync.Mutex // guards the rest
	// known are those of the last snapshot and of this one, used of this one alone.
	known, used map[*x509.Certificate]Certificate
}

func (d *descriptions) of(c *x509.Certificate) Certificate {
	d.mu.Lock()
	defer d.mu.Unlock()
	described, ok := d.known[c]
	if !ok {
		described = Certificate{
			Subject: safetext.Line(c.Subject.String(), maxText), Issuer: safetext.Line(c.Issuer.String(), maxText),
			Serial: Serial(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		}
	}
	if d.used == nil {
		d.used = map[*x509.Certificate]Certificate{}
	}
	d.used[c] = described
	return described
}

// forget drops what the snapshot that ends did not have.
func (d *descriptions) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.used = d.used, nil
}
