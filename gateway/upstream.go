package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/resolver"
)

const (
	// resolverAge bounds how long a resolver is kept, and with it a token.
	resolverAge = 5 * time.Minute
	// maxResolvers bounds how many: clients choose the repositories.
	maxResolvers = 1024
)

// cachedResolver is a resolver for one repository. It is kept so that the
// requests of a pull share a token.
type cachedResolver struct {
	// fetch is for what is there, resolve for what may have to be converted:
	// only that is under the limit for downloads.
	fetch, resolve *resolver.Resolver
	// host is what was configured when it was made: a change makes a new one.
	host *certsd.Host
	made time.Time
	// refused is what came of the login last, nil if that was let in.
	refused atomic.Pointer[refusal]
}

// mayAsk reports whether a registry may be asked at all. It looks at the disk and
// at no network, not even for an address.
func (s *Server) mayAsk(host string) error {
	own, err := s.options.Hosts.Own(host)
	if err != nil {
		return &fault{status: http.StatusInternalServerError, code: codeUnavailable, message: err.Error(), cause: err}
	}
	// The default port may be left out on either side, as with directories.
	name := strings.TrimSuffix(host, ":443")
	if own != nil || s.upstreams[host] || s.upstreams[name] || s.upstreams[name+":443"] {
		return nil
	}
	return &fault{
		status: http.StatusForbidden, code: codeDenied,
		message: host + " is no registry that this gateway asks: make a certs.d directory named after it, or add it to upstreams",
	}
}

// resolverFor returns the resolvers for the repository of a target.
func (s *Server) resolverFor(t *target) *cachedResolver {
	// An error is met again, and told, by the resolver.
	host, err := s.options.Hosts.Lookup(t.host)
	s.mu.Lock()
	defer s.mu.Unlock()
	key, age := t.repositoryKey(), resolverAge
	if t.login != nil {
		age = loginAge
	}
	if c, ok := s.resolvers[key]; ok && err == nil && c.host == host && time.Since(c.made) < age {
		return c
	}
	c := &cachedResolver{host: host, made: time.Now(), fetch: s.newResolver(t), resolve: s.newResolver(t)}
	if len(s.resolvers) >= maxResolvers {
		clear(s.resolvers)
	}
	s.resolvers[key] = c
	if t.login != nil {
		time.AfterFunc(loginAge, func() { s.forget(key, c) })
	}
	return c
}

// forget lets go of a resolver, and with it of the credentials and tokens it has.
func (s *Server) forget(key string, c *cachedResolver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resolvers[key] == c {
		delete(s.resolvers, key)
	}
}

func (s *Server) newResolver(t *target) *resolver.Resolver {
	registry, repository, login := t.host, t.repository, t.login
	o := resolver.Options{
		Hosts:     s.options.Hosts,
		Downloads: share{s.downloads, registry},
		// Clients wait, and know how to wait themselves.
		MaxWait: s.options.Patience / 5,
		// By it a gateway also knows its own requests.
		Header: http.Header{"Via": {"1.1 certsd-" + s.id}},
		UpdateClient: func(c *http.Client) error {
			c.Transport = &limited{next: &forwarded{c.Transport}, slots: share{s.slots, registry}, patience: s.options.Patience * 4 / 5}
			return nil
		},
	}
	switch {
	case login != nil:
		o.Credentials, o.Reader = login.credentials, login.id
	case s.options.Credentials != nil:
		o.Credentials = func(host string) (string, string, error) { return s.options.Credentials(host, repository) }
	}
	if s.options.Store != nil {
		o.Store = s.options.Store
	}
	return resolver.New(o)
}

// forwarded tells a registry by whom a request has come: RFC 9110, 7.6.3. So a
// gateway knows its own requests also where they come back by others.
type forwarded struct {
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f *forwarded) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.Header.Values("Via")
	received, _ := req.Context().Value(viaKey{}).(string)
	// Hosts that a registry leads to are told nothing.
	if len(own) == 0 || received == "" {
		return f.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Header["Via"] = []string{received + ", " + own[0]}
	return f.next.RoundTrip(req)
}

type viaKey struct{}

// withVia is for requests that are made for one that has come by others.
func withVia(ctx context.Context, via string) context.Context {
	return context.WithValue(ctx, viaKey{}, via)
}

// canonicalSet is a set of host[:port].
func canonicalSet(hosts []string) (map[string]bool, error) {
	set := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		canonical, err := hostname.Canonical(host)
		if err != nil {
			return nil, fmt.Errorf("upstreams: %w", err)
		}
		set[canonical] = true
	}
	return set, nil
}
