package certsd

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxRepositories bounds the memory of one endpoint, a few hundred bytes for each
	// repository.
	maxRepositories = 1024
	// sickTime is how long to remember a round that ended in 5xx for every identity.
	sickTime = 5 * time.Second
)

// memory remembers which identity last worked for each repository of an endpoint, by
// the repository's name, empty for requests without one. Its zero value is ready to
// use.
type memory struct {
	// mu guards what follows, including the fields of each recollection.
	mu    sync.Mutex
	repos map[string]*recollection
}

type recollection struct {
	// identity is the one that last worked, nil if none is known.
	identity *Identity
	// sick is the time until which no other identity is tried after a 5xx.
	sick time.Time
	// discovery is the one under way, nil for none.
	discovery *discovery
}

// discovery is the first round for a repository, for which other requests wait.
type discovery struct {
	done chan struct{}
	// abandoned reports whether its request was cancelled before the round ended.
	abandoned bool
}

// known returns the identity that last worked for a repository, nil for none.
func (m *memory) known(repo string) *Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.repos[repo]; e != nil {
		return e.identity
	}
	return nil
}

// plan is what a round knows when it begins.
type plan struct {
	// identity goes first, nil if none is known.
	identity *Identity
	// sick reports whether a 5xx ends the round.
	sick bool
	// leave ends the discovery if the round leads one. It must be called once.
	leave func(abandoned bool)
}

// enter returns what is known about a repository. If nothing is known and a discovery
// is under way, it waits for that; otherwise the caller's round becomes the discovery
// if lead is set. Callers that waited in vain proceed independently: one after the
// other they would take forever.
func (m *memory) enter(ctx context.Context, repo string, now func() time.Time, lead bool) (plan, error) {
	for wait := true; ; {
		p, d := m.look(repo, now(), lead && wait, wait)
		if d == nil {
			return p, nil
		}
		select {
		case <-d.done:
			wait = d.abandoned
		case <-ctx.Done():
			return plan{}, context.Cause(ctx)
		}
	}
}

// look returns the plan, or the discovery to wait for.
func (m *memory) look(repo string, now time.Time, lead, wait bool) (plan, *discovery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(repo)
	p := plan{identity: e.identity, sick: now.Before(e.sick), leave: func(bool) {}}
	switch {
	case p.identity != nil || p.sick:
	case e.discovery != nil && wait:
		return p, e.discovery
	case e.discovery == nil && lead:
		d := &discovery{done: make(chan struct{})}
		e.discovery = d
		p.leave = func(abandoned bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			d.abandoned, e.discovery = abandoned, nil
			close(d.done)
		}
	}
	return p, nil
}

// works remembers an identity that was not refused, and reports whether that is new. It
// replaces another identity only if the answer proves that id was accepted.
func (m *memory) works(repo string, id *Identity, proven bool) (news bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(repo)
	e.sick = time.Time{}
	if e.identity == id || !proven && e.identity != nil {
		return false
	}
	e.identity = id
	return true
}

// failed ends a round in which no identity succeeded; sick reports whether all got 5xx,
// which is remembered for a while.
func (m *memory) failed(repo string, sick bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(repo)
	e.sick = time.Time{}
	if sick {
		e.sick = now.Add(sickTime)
	}
}

// entry returns the recollection of a repository, made if necessary. If there are too
// many, it evicts an arbitrary other one: forgetting costs one round.
func (m *memory) entry(repo string) *recollection {
	if e := m.repos[repo]; e != nil {
		return e
	}
	if m.repos == nil {
		m.repos = make(map[string]*recollection)
	}
	if len(m.repos) >= maxRepositories {
		for name, e := range m.repos {
			if e.discovery == nil {
				delete(m.repos, name)
				break
			}
		}
	}
	e := &recollection{}
	m.repos[repo] = e
	return e
}

type repositoryKey struct{}

// WithRepository returns a context whose requests are for the named repository. It is
// needed where the path does not name it: /v1/images/… and requests to token servers.
func WithRepository(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, repositoryKey{}, name)
}

// maxRepository bounds the name under which an identity is remembered; the
// distribution specification allows 255 bytes.
const maxRepository = 512

// repositoryOf returns the repository a request is for, empty if unknown. root
// is the API root of the endpoint.
func repositoryOf(req *http.Request, root string) string {
	name := repositoryIn(req.URL.Path, root)
	if name == "" {
		name, _ = req.Context().Value(repositoryKey{}).(string)
		if strings.HasPrefix(req.URL.Path, "/v1/") {
			name = strings.TrimPrefix(name, "library/")
		}
	}
	if len(name) > maxRepository {
		return ""
	}
	return name
}

func repositoryIn(path, root string) string {
	if rest, ok := strings.CutPrefix(path, "/v1/repositories/"); ok {
		// A v1 index accepts a name of one component as it is, but has its tags under
		// library/: both are one repository.
		if name := before(rest, "/tags/"); name != "" {
			return strings.TrimPrefix(name, "library/")
		}
		return strings.TrimPrefix(before(rest+"/", "/tags/", "/images/", "/json/"), "library/")
	}
	for _, root := range []string{strings.TrimSuffix(root, "/"), "/v2"} {
		if rest, ok := strings.CutPrefix(path, root+"/"); ok && root != "" {
			return before(rest, "/manifests/", "/blobs/", "/tags/", "/referrers/")
		}
	}
	return ""
}

// before returns the text before the last of the marks, empty without one. It is the
// last because components of the name may equal a mark.
func before(path string, marks ...string) string {
	end := -1
	for _, mark := range marks {
		end = max(end, strings.LastIndex(path, mark))
	}
	if end < 0 {
		return ""
	}
	return path[:end]
}
