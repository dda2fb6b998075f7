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
	// maxHosts bounds registries and servers, maxRepositories the repositories of
	// each: everybody who may pull images chooses their names.
	maxHosts        = 1000
	maxRepositories = 100
	// maxAnswers bounds the identities of a server whose answers are known.
	maxAnswers = 256
	// maxText bounds what is shown of a cause, in characters.
	maxText = 500
	// maxLooks bounds how many registries are looked up for each reader. Where there
	// are more, those come first that were not looked at for longest.
	maxLooks = 100
)

// State is what is kept. Use [New].
type State struct {
	since time.Time
	now   func() time.Time
	// looks is how many registries are looked up for a snapshot.
	looks int
	// version is that of the program.
	version atomic.Pointer[string]

	// mu guards the rest.
	mu         sync.Mutex
	registries map[key]*registry
	servers    map[string]*server
	work       map[*watch]struct{}

	// descriptions are those of certificates that the last snapshot had.
	descriptions descriptions
}

// key is a registry below a list of roots.
type key struct {
	from *certsd.Hosts
	name string
}

type registry struct {
	used time.Time
	// host and err are what the last lookup of a pull or of a look at the status found,
	// looked is when that was, zero if something is new since.
	host   *certsd.Host
	looked time.Time
	// own reports whether it has a directory that a person has made for it.
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
	// caFile is where ca was read from, empty for the system's.
	caFile   string
	answers  map[identity]*answer
	refusals map[string]int
}

// identity names a client certificate as an attempt does.
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

// SetVersion says which program it is that keeps the state.
func (s *State) SetVersion(version string) { s.version.Store(&version) }

// Use notes a registry that is about to be asked.
func (s *State) Use(host *certsd.Host) {
	if host.From() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registry(key{host.From(), host.Name}, configured(host))
	r.host, r.err, r.looked = host, nil, r.used
}

// Load notes what a lookup met.
func (s *State) Load(_ context.Context, l hostdir.Loaded) {
	if l.From == nil || l.Config == nil && l.Err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.registry(key{l.From, l.Host}, l.Dir != "" && (l.Config == nil || configured(l.Config)))
	// It is its turn.
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

// registry returns the record of a registry. Where there is no room the one that
// was not used longest has to go, best one that nobody has made a directory for. The
// caller holds mu.
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

// drop removes what was not used longest, and of what is valued only where there is
// nothing else.
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

// Handshake notes the certificate of a server.
func (s *State) Handshake(h certsd.Handshake) {
	if h.Server == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.server(h.Host)
	v.seen, v.cert, v.ca, v.caFile = s.now(), h.Server, h.CA, h.CAFile
}

// Round notes what a request came to. result names the answer to an attempt, as
// the metrics do.
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
		// What counts is whom the registry let in.
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

// accepted reports whether the server let the request in. A 404 is no proof of it.
func accepted(a certsd.Attempt) bool {
	return a.Skipped == "" && a.Err == nil && !a.Refused && a.Status < 400
}

// refusal reports whether a person may have to do something about an answer: not for
// what is not there, nor for credentials that are asked for.
func refusal(a certsd.Attempt) bool {
	return a.Skipped == "" && (a.Err != nil && !gaveUp(a.Err) || a.Refused || a.Status == 403 || a.Status >= 500 || a.Reason != "" && a.Status != 404)
}

// repository returns the record of a repository, nil where its registry has none.
// The caller holds mu.
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

// answer keeps what came back for an identity.
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

// of returns what is known of an identity, nil for nothing. Another certificate in
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

// gaveUp reports whether it was the client that did not wait: that is no answer.
func gaveUp(err error) bool { return errors.Is(err, context.Canceled) }

// Memories returns the registries for which something is used that was read earlier,
// because their files are broken, with the time since which.
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
