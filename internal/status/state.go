package status

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

const (
	// maxHosts bounds registries and servers, maxRepositories the repositories of each:
	// whoever may pull images chooses their names.
	maxHosts        = 1000
	maxRepositories = 100
	// maxAnswers bounds the identities of a server whose answers are known.
	maxAnswers = 256
	// maxText bounds the text of a cause, in characters.
	maxText = 500
	// maxLooks bounds how many registries are looked up for one status. If there are
	// more, those looked up the longest time ago come first.
	maxLooks = 100
)

// State is what a daemon keeps for its status. Use [New].
type State struct {
	since time.Time
	now   func() time.Time
	// looks is how many registries to look up for a snapshot.
	looks int
	// version is the program's version.
	version atomic.Pointer[string]

	// mu guards the rest.
	mu         sync.Mutex
	registries map[key]*registry
	servers    map[string]*server
	work       map[*watch]struct{}

	// descriptions caches the descriptions in the last snapshot.
	descriptions descriptions
}

// key is a registry below a list of roots.
type key struct {
	from *certsd.Hosts
	name string
}

type registry struct {
	used time.Time
	// host and err are the result of the last lookup, for a pull or the status; looked
	// is its time, zero if something has changed since.
	host   *certsd.Host
	looked time.Time
	// own reports whether it has a directory of its own.
	own    bool
	err    error
	memory *Memory
	repos  map[string]*repository
}

type repository struct {
	host     string
	used     time.Time
	accepted *Accepted
	refused  *Refused
}

type server struct {
	used     time.Time
	seen     time.Time
	cert, ca *x509.Certificate
	// caFile is the file of ca, empty for a system root.
	caFile   string
	answers  map[identity]*answer
	refusals map[string]int
}

// identity identifies a client certificate as an attempt does.
type identity struct{ dir, name string }

type answer struct {
	leaf     *x509.Certificate
	last     Answer
	accepted time.Time
}

// New returns a state that begins now.
func New() *State {
	return &State{
		since: time.Now(), now: time.Now, looks: maxLooks,
		registries: map[key]*registry{}, servers: map[string]*server{}, work: map[*watch]struct{}{},
	}
}

// SetVersion sets the version of the program that keeps the state.
func (s *State) SetVersion(version string) { s.version.Store(&version) }

// Use records a registry that is about to be asked.
func (s *State) Use(host *certsd.Host) {
	if host.From() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registry(key{host.From(), host.Name}, configured(host))
	r.host, r.err, r.looked = host, nil, r.used
}

// Load records what a lookup found.
func (s *State) Load(_ context.Context, l hostdir.Loaded) {
	if l.From == nil || l.Config == nil && l.Err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registry(key{l.From, l.Host}, l.Dir != "" && (l.Config == nil || configured(l.Config)))
	// It is due for a lookup.
	r.looked = time.Time{}
	if l.Config == nil {
		r.memory = nil
		return
	}
	cause := l.Err
	if cause == nil {
		cause = l.Config.Kept()
	}
	if cause == nil {
		r.memory = nil
		return
	}
	text := safetext.Line(cause.Error(), maxText)
	if r.memory == nil {
		r.memory = &Memory{Since: s.now()}
	} else {
		r.memory = &Memory{Since: r.memory.Since}
	}
	r.memory.Cause = text
}

func configured(host *certsd.Host) bool { return host.Dir != "" && !host.Fallback }

// registry returns the record of a registry. If there is no room, it drops the least
// recently used one, preferably without a directory of its own. The caller holds mu.
func (s *State) registry(k key, own bool) *registry {
	r := s.registries[k]
	if r == nil {
		if len(s.registries) >= maxHosts {
			drop(s.registries, func(r *registry) (bool, time.Time) { return r.own, r.used })
		}
		r = &registry{repos: map[string]*repository{}}
		s.registries[k] = r
	}
	r.used, r.own = s.now(), own
	return r
}

// server returns the record of a server. The caller holds mu.
func (s *State) server(host string) *server {
	v := s.servers[host]
	if v == nil {
		if len(s.servers) >= maxHosts {
			drop(s.servers, func(v *server) (bool, time.Time) { return false, v.used })
		}
		v = &server{answers: map[identity]*answer{}, refusals: map[string]int{}}
		s.servers[host] = v
	}
	v.used = s.now()
	return v
}

// drop removes the least recently used entry, a valued one only if there is no other.
func drop[K comparable, V any](m map[K]V, of func(V) (valued bool, used time.Time)) {
	var worst K
	found, worstValued, worstUsed := false, false, time.Time{}
	for k, v := range m {
		valued, used := of(v)
		if !found || worstValued && !valued || valued == worstValued && used.Before(worstUsed) {
			worst, found, worstValued, worstUsed = k, true, valued, used
		}
	}
	delete(m, worst)
}

// Handshake records the certificate of a server.
func (s *State) Handshake(h certsd.Handshake) {
	if h.Server == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.server(h.Host)
	v.seen, v.cert, v.ca, v.caFile = s.now(), h.Server, h.CA, h.CAFile
}

// Round records the outcome of a request. result names the answer to an attempt, as in
// the metrics.
func (s *State) Round(r certsd.Round, result func(certsd.Attempt) string) {
	now := s.now()
	var answers []string
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.server(r.Host)
	last := r.Attempts[len(r.Attempts)-1]
	in := accepted(last)
	for _, a := range r.Attempts {
		if a.Skipped != "" {
			continue
		}
		word := result(a)
		answers = append(answers, cmp.Or(a.Identity, "no certificate")+": "+word)
		if refusal(a) {
			v.refusals[word]++
		}
		if a.Leaf != nil {
			v.answer(a, Answer{Result: word, At: now}, accepted(a))
		}
	}
	if r.Repository == "" || r.Registry == "" || len(answers) == 0 {
		return
	}
	repo := s.repository(key{r.From, r.Registry}, safetext.Line(r.Repository, maxText))
	if repo == nil {
		return
	}
	repo.used = now
	switch {
	case in && r.Foreign:
		// Only acceptance by the registry itself counts.
	case in:
		repo.host = r.Host
		repo.accepted, repo.refused = &Accepted{Identity: last.Identity, At: now}, nil
		if last.Leaf != nil {
			repo.accepted.Serial = Serial(last.Leaf)
		}
	case refusal(last):
		repo.host = r.Host
		repo.refused = &Refused{At: now, Answers: answers, Result: result(last)}
	}
}

// accepted reports whether the server let the request in. A 404 does not prove that.
func accepted(a certsd.Attempt) bool {
	return a.Skipped == "" && a.Err == nil && !a.Refused && a.Status < 400
}

// refusal reports whether an answer may need a person's attention: not a 404, and not a
// request for credentials.
func refusal(a certsd.Attempt) bool {
	return a.Skipped == "" && (a.Err != nil && !gaveUp(a.Err) || a.Refused || a.Status == 403 || a.Status >= 500 || a.Reason != "" && a.Status != 404)
}

// repository returns the record of a repository, nil if its registry has no record. The
// caller holds mu.
func (s *State) repository(k key, name string) *repository {
	r := s.registries[k]
	if r == nil {
		return nil
	}
	repo := r.repos[name]
	if repo == nil {
		if len(r.repos) >= maxRepositories {
			drop(r.repos, func(r *repository) (bool, time.Time) { return false, r.used })
		}
		repo = &repository{}
		r.repos[name] = repo
	}
	return repo
}

// answer records the answer to an identity.
func (v *server) answer(a certsd.Attempt, last Answer, in bool) {
	k := identity{a.Dir, a.Identity}
	known := v.answers[k]
	if known == nil {
		if len(v.answers) >= maxAnswers {
			drop(v.answers, func(a *answer) (bool, time.Time) { return false, a.last.At })
		}
		known = &answer{}
		v.answers[k] = known
	}
	if known.leaf != a.Leaf && (known.leaf == nil || !known.leaf.Equal(a.Leaf)) {
		*known = answer{}
	}
	known.leaf, known.last = a.Leaf, last
	if in {
		known.accepted = last.At
	}
}

// of returns what is known about an identity, nil for nothing. Another certificate in
// the same file is another identity.
func (v *server) of(dir string, id *certsd.Identity) *answer {
	if v == nil {
		return nil
	}
	known := v.answers[identity{dir, id.Name}]
	if known == nil || id.Certificate == nil || id.Certificate.Leaf == nil || !known.leaf.Equal(id.Certificate.Leaf) {
		return nil
	}
	return known
}

// gaveUp reports whether the client did not wait for an answer.
func gaveUp(err error) bool { return errors.Is(err, context.Canceled) }

// Memories returns the registries that use earlier content because their files are
// broken, with the time since when.
func (s *State) Memories() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]time.Time{}
	for k, r := range s.registries {
		if r.memory == nil {
			continue
		}
		if since, ok := all[k.name]; !ok || r.memory.Since.Before(since) {
			all[k.name] = r.memory.Since
		}
	}
	return all
}
