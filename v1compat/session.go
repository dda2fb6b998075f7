package v1compat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// session is one pull from one repository: the token, the cookies and the endpoints
// the registry gave for it. No other pull shares them; the layers of its image keep
// using them.
type session struct {
	c          *Client
	repository string
	registry   endpoint
	standalone bool
	user       string
	secret     string
	jar        jar
	endpoints  []endpoint
	// current is the index of the endpoint that last worked.
	current atomic.Int64

	mu    sync.Mutex // guards token
	token string

	// renewing is held while a new token is requested, under indexed, the name by
	// which the index knows the repository.
	renewing sync.Mutex
	indexed  string
}

// open pings the registry and asks it where the repository is kept.
func (c *Client) open(ctx context.Context, repository string) (*session, error) {
	base, err := c.base()
	if err == nil {
		err = validRepository(repository)
	}
	if err != nil {
		return nil, c.refuse(err)
	}
	s := &session{c: c, repository: repository, registry: base, jar: newJar(base.origin)}
	ctx = s.context(ctx)
	ping, err := c.ping(ctx, base)
	if err != nil {
		return nil, err
	}
	s.standalone = ping.Standalone
	if c.Credentials != nil {
		if s.user, s.secret, err = c.Credentials(ctx, c.Host); err != nil {
			return nil, c.refuse(fmt.Errorf("credentials: %w", err))
		}
	}
	if err := s.index(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// index asks where the repository is kept. The body lists images and checksums;
// Docker discarded it, as this client does, and Quay always sends [].
//
// Docker uses a repository name without namespace as it is here, but library/name for
// its tags. Static trees made for it have both, others only one of them.
func (s *session) index(ctx context.Context) error {
	names := []string{s.repository}
	switch rest, inLibrary := strings.CutPrefix(s.repository, "library/"); {
	case !strings.Contains(s.repository, "/"):
		names = append(names, "library/"+s.repository)
	case inLibrary && !strings.Contains(rest, "/"):
		names = append(names, rest)
	}
	var first error
	for _, name := range names {
		h, err := s.indexHeader(ctx, name)
		if err == nil {
			s.indexed = name
			if s.endpoints, err = s.c.headerEndpoints(s.registry, h); err != nil {
				return &Error{Endpoint: s.registry.base, Path: repositoryPath(name, "images"), Err: err}
			}
			return nil
		}
		if first == nil {
			first = err
		}
		if status(err) != http.StatusNotFound {
			return err
		}
	}
	return first
}

func (s *session) indexHeader(ctx context.Context, name string) (http.Header, error) {
	ctx, cancel := s.c.attempt(ctx)
	defer cancel()
	segments := repositorySegments(name, "images")
	resp, err := s.send(ctx, s.registry, segments, http.Header{}, true)
	if err != nil {
		return nil, err
	}
	defer discard(resp.Response)
	if resp.StatusCode != http.StatusOK {
		return nil, s.refused(s.registry, segments, resp)
	}
	// The registry's own answers have been learned from already. A redirected index
	// call may be answered elsewhere; its token is meant for the endpoints.
	if err := s.learnToken(resp.Header); err != nil {
		return nil, &Error{Endpoint: s.registry.base, Path: strings.Join(segments, "/"), Err: err}
	}
	return resp.Header, nil
}

// send makes one request to an endpoint, with the session's context. If a token is
// answered with 401, send replaces it once: it may have expired during a long pull.
func (s *session) send(ctx context.Context, ep endpoint, segments []string, header http.Header, index bool) (*answer, error) {
	resp, err := s.sendOnce(ctx, ep, segments, header, index)
	if err != nil || index || resp.StatusCode != http.StatusUnauthorized || resp.target != "" || resp.Request == nil {
		return resp, err
	}
	refused, ok := strings.CutPrefix(resp.Request.Header.Get("Authorization"), "Token ")
	if !ok || !s.renew(ctx, refused) {
		return resp, nil
	}
	discard(resp.Response)
	return s.sendOnce(ctx, ep, segments, header, index)
}

// renew requests a new token to replace the one refused, and reports whether there is
// one. Concurrent callers wait for it and share it.
func (s *session) renew(ctx context.Context, refused string) bool {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if s.bearer() == refused {
		if _, err := s.indexHeader(ctx, s.indexed); err != nil {
			return false
		}
	}
	return s.bearer() != refused
}

func (s *session) sendOnce(ctx context.Context, ep endpoint, segments []string, header http.Header, index bool) (*answer, error) {
	u, err := ep.url(segments...)
	if err != nil {
		return nil, s.located(ep, segments, &Error{Err: err})
	}
	resp, err := follower{s.c}.get(ctx, u, header, signer{s: s, own: ep.origin == s.registry.origin, index: index})
	if err != nil {
		return nil, s.located(ep, segments, err)
	}
	return resp, nil
}

// refused returns the error for an answer with an unwanted status.
func (s *session) refused(ep endpoint, segments []string, resp *answer) error {
	e := statusError(resp.Response, resp.target, s.secrets(resp.Response)...)
	e.refresh = s.user == "" && s.secret != ""
	return s.located(ep, segments, e)
}

// located adds endpoint and path to an error.
func (s *session) located(ep endpoint, segments []string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Endpoint, e.Path = ep.base, strings.Join(segments, "/")
	return e
}

// context marks ctx with the repository, for the transport.
func (s *session) context(ctx context.Context) context.Context {
	if s.c.Context == nil {
		return ctx
	}
	return s.c.Context(ctx, s.repository)
}

// failover calls do with each endpoint, beginning with the one that last worked,
// until it succeeds.
func (s *session) failover(ctx context.Context, do func(endpoint) error) error {
	var errs endpointsError
	start := int(s.current.Load())
	for i := range s.endpoints {
		n := (start + i) % len(s.endpoints)
		err := do(s.endpoints[n])
		if err == nil {
			s.current.Store(int64(n))
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
		if i+1 < len(s.endpoints) {
			s.c.warn(fmt.Errorf("trying the next endpoint: %w", err))
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errs
}

// endpoint returns the session's endpoint with the given base URL.
func (s *session) endpoint(base string) (endpoint, bool) {
	i := slices.IndexFunc(s.endpoints, func(ep endpoint) bool { return ep.base == base })
	if i < 0 {
		return endpoint{}, false
	}
	return s.endpoints[i], true
}

func repositorySegments(name string, rest ...string) []string {
	return append(append([]string{"repositories"}, strings.Split(name, "/")...), rest...)
}

func repositoryPath(name string, rest ...string) string {
	return strings.Join(repositorySegments(name, rest...), "/")
}

// status returns the HTTP status of an error, zero if it has none.
func status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}
