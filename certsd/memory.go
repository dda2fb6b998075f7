package certsd

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxRepositories bounds the memory of one endpoint: a few hundred bytes
	// for each.
	maxRepositories = 1024
	// sickTime is how long a round that ended in 5xx for every identity is
	// remembered.
	sickTime = 5 * time.Second
)

// memory knows which identity last worked for each repository of an endpoint,
// by the repository's name, empty for requests that are about none. Its zero
// value is ready.
type memory struct {
	// mu guards what follows, down to the single recollections.
	mu    sync.Mutex
	repos map[string]*recollection
}

type recollection struct {
	// identity last worked.
	identity *Identity
	// sick is until when no other identity is tried after a 5xx.
	sick time.Time
	// discovery is under way, nil if none is.
	discovery *discovery
}

// discovery is a first round for a repository, which others wait for.
type discovery struct {
	done chan struct{}
	// abandoned reports whether the request was cancelled before it ended.
	abandoned bool
}

// known returns the identity that last worked for a repository, nil if none.
func (m *memory) known(repo string) *Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.repos[repo]; e != nil {
		return e.identity
	}
	return nil
}

// plan is what is known before a round.
type plan struct {
	// identity goes first, nil if none is known.
	identity *Identity
	// sick reports whether a 5xx is the end of it.
	sick bool
	// leave ends the discovery that the round is, if it is one. It must be
	// called once.
	leave func(abandoned bool)
}

// enter returns what is known about a repository. If that is nothing, and a
// discovery is under way, it waits for that one; otherwise the caller's round
// becomes the discovery, if it may lead one. Whoever waited in vain goes on
// alone: one after the other they would take for ever.
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

// works remembers that an identity was not refused, and reports whether that is
// news. Unless the answer proves that it was accepted, it does not take the
// place of another.
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

// failed remembers whether a round of all identities, without success, ended in
// 5xx for each.
func (m *memory) failed(repo string, sick bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(repo)
	e.sick = time.Time{}
	if sick {
		e.sick = now.Add(sickTime)
	}
}

// entry returns the recollection of a repository. Any other one goes for it
// when there are too many: forgetting costs a round.
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

// WithRepository tells the requests made with the context which repository they
// are for. It is needed where the path does not say: /v1/images/… and requests
// to token servers.
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
		// An index is asked for a name of one component as it is, the tags are
		// under library/: they are one repository.
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

// before returns what stands before the last of the marks, empty if there is
// none: a name may have components of the same words.
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
