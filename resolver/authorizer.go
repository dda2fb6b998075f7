package resolver

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/bounded"
)

// authorizer keeps one docker authorizer, and thus one set of tokens, per client
// certificate: a token may be bound to the certificate it was fetched with.
type authorizer struct {
	// preferred returns the certificate that a request presents first, or nil.
	preferred func(*http.Request) *certsd.Identity
	// ours reports whether a request is for the endpoint itself; strangers handles
	// the others.
	ours      func(*url.URL) bool
	strangers *strangers
	create    func() docker.Authorizer

	// mu guards byIdentity.
	mu sync.Mutex
	// byIdentity holds the authorizers that were challenged and have not failed.
	byIdentity map[*certsd.Identity]*shared
}

var _ docker.Authorizer = (*authorizer)(nil)

func newAuthorizer(bound *certsd.EndpointTransport, e *certsd.Endpoint, client *http.Client, credentials credentials, mayGrant func(target, realm *url.URL) bool) *authorizer {
	tokens := *client
	tokens.Transport = bounded.Tokens(client.Transport)
	return &authorizer{
		preferred: bound.PreferredFor,
		ours:      func(u *url.URL) bool { return u.Host == e.Host },
		create: func() docker.Authorizer {
			return docker.NewDockerAuthorizer(
				docker.WithAuthClient(&tokens),
				// A token server of the same origin gets the configured headers;
				// the transport keeps them from any other.
				docker.WithAuthHeader(e.Header.Clone()),
				docker.WithAuthCreds(credentials.only(e.Host)),
			)
		},
		byIdentity: map[*certsd.Identity]*shared{},
		strangers:  &strangers{client: &tokens, mayGrant: mayGrant, byOrigin: map[string]*shared{}},
	}
}

// credentials finds the credentials for a pull from a registry.
type credentials struct {
	// registry is the registry as the reference spells it.
	registry string
	// sources are asked one after the other.
	sources []func(host string) (user, secret string, err error)
}

func (o Options) credentials(registry string) credentials {
	c := credentials{registry: registry}
	for _, source := range []func(string) (string, string, error){o.Credentials, o.Fallback} {
		if source != nil {
			c.sources = append(c.sources, source)
		}
	}
	return c
}

// only returns a function that returns the credentials of one host. docker's
// authorizer asks for those of the server that sent the challenge, which may be the
// target of a redirect.
func (c credentials) only(host string) func(string) (string, string, error) {
	return func(challenger string) (string, string, error) {
		if challenger != host {
			return "", "", nil
		}
		return c.of(host)
	}
}

// of returns the credentials of a host from the first source that has some.
func (c credentials) of(host string) (user, secret string, err error) {
	// Credentials stored under the canonical name are meant for it, too.
	names := slices.Compact([]string{c.name(host), host})
	for _, ask := range c.sources {
		for _, name := range names {
			if user, secret, err = ask(name); err != nil || user != "" || secret != "" {
				return user, secret, err
			}
		}
	}
	return "", "", nil
}

// name returns the name under which to ask for a host's credentials. Clients compare
// it with the name that they gave, so for the registry itself it is the name in the
// reference.
func (c credentials) name(host string) string {
	if canonical, err := hostname.Canonical(c.registry); err == nil && canonical == host {
		return c.registry
	}
	return host
}

// Authorize implements docker.Authorizer. It adds nothing before the first challenge.
// After an error the next challenge creates a new authorizer, which asks again for a
// token and for the credentials, as they may have been corrected.
func (a *authorizer) Authorize(ctx context.Context, req *http.Request) error {
	err := a.authorize(ctx, req)
	if err != nil && req.Body != nil {
		// The request is not made, and the writer of its body would wait forever for
		// a reader: containerd's pusher leaves it open.
		_ = req.Body.Close()
	}
	return err
}

func (a *authorizer) authorize(ctx context.Context, req *http.Request) error {
	if !a.ours(req.URL) {
		return a.strangers.authorize(ctx, req)
	}
	identity := a.preferred(req)
	s := a.challenged(identity)
	if s == nil {
		return nil
	}
	return s.authorize(ctx, req, func() bool { return a.forget(identity, s) })
}

// AddResponses implements docker.Authorizer. It replaces a token that is answered
// with 401: the token may have expired without notice, or the registry may have a new
// key. It does so once per request; then the answer stands.
func (a *authorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	last := responses[len(responses)-1]
	if !a.ours(last.Request.URL) {
		return a.strangers.addResponses(ctx, responses)
	}
	identity := a.preferred(last.Request)
	if s := a.challenged(identity); s != nil {
		if again, err := s.refused(responses, func() bool { return a.forget(identity, s) }); again || err != nil {
			return err
		}
	}
	a.mu.Lock()
	s, ok := a.byIdentity[identity]
	if !ok {
		s = newShared(a.create())
		a.byIdentity[identity] = s
	}
	a.mu.Unlock()
	if ok && last.Request.Header.Get("Authorization") != "" {
		return nil // replaced meanwhile by a request that was refused with this one
	}
	return s.inner.AddResponses(ctx, responses)
}

// challenged returns the authorizer for an identity, nil before its first challenge.
func (a *authorizer) challenged(identity *certsd.Identity) *shared {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byIdentity[identity]
}

// forget removes s and reports whether it was still in use.
func (a *authorizer) forget(identity *certsd.Identity, s *shared) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byIdentity[identity] != s {
		return false
	}
	delete(a.byIdentity, identity)
	return true
}
