package resolver

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/certsd/containerd-certsd/certsd"
)

// authorizer keeps one docker authorizer, and with it one set of tokens, for
// each client certificate: a token may be bound to the certificate it was
// fetched with.
type authorizer struct {
	// preferred is the certificate a request begins with, nil for none.
	preferred func(*http.Request) *certsd.Identity
	create    func() docker.Authorizer
	// challenged tells that there was a challenge to answer.
	challenged atomic.Bool

	// mu guards byIdentity.
	mu         sync.Mutex
	byIdentity map[*certsd.Identity]docker.Authorizer
}

var _ docker.Authorizer = (*authorizer)(nil)

func newAuthorizer(bound *certsd.EndpointTransport, e *certsd.Endpoint, client *http.Client, credentials credentials) *authorizer {
	return &authorizer{
		preferred: bound.PreferredFor,
		create: func() docker.Authorizer {
			return docker.NewDockerAuthorizer(
				docker.WithAuthClient(client),
				// A token server of the same origin gets the configured headers;
				// the transport keeps them from any other.
				docker.WithAuthHeader(e.Header.Clone()),
				docker.WithAuthCreds(credentials.only(e.Host)),
			)
		},
		byIdentity: map[*certsd.Identity]docker.Authorizer{},
	}
}

// credentials are those of the pull of an image from a registry.
type credentials struct {
	// registry is the registry as the reference spells it.
	registry string
	ask      func(host string) (user, secret string, err error)
}

// only asks for the credentials of one host. docker's authorizer asks for those
// of whoever sent the challenge, which may be the target of a redirect.
func (c credentials) only(host string) func(string) (string, string, error) {
	return func(challenger string) (string, string, error) {
		if c.ask == nil || challenger != host {
			return "", "", nil
		}
		return c.ask(c.name(host))
	}
}

// name is how to ask for a host: clients compare it with what they were given,
// so the registry itself goes by the name in the reference.
func (c credentials) name(host string) string {
	if canonical, err := certsd.Canonical(c.registry); err == nil && canonical == host {
		return c.registry
	}
	return host
}

// Authorize implements docker.Authorizer. Before the first challenge there is
// nothing to add.
func (a *authorizer) Authorize(ctx context.Context, req *http.Request) error {
	if !a.challenged.Load() {
		return nil
	}
	return a.current(req).Authorize(ctx, req)
}

// AddResponses implements docker.Authorizer.
func (a *authorizer) AddResponses(ctx context.Context, responses []*http.Response) error {
	a.challenged.Store(true)
	return a.current(responses[len(responses)-1].Request).AddResponses(ctx, responses)
}

func (a *authorizer) current(req *http.Request) docker.Authorizer {
	identity := a.preferred(req)
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok := a.byIdentity[identity]
	if !ok {
		d = a.create()
		a.byIdentity[identity] = d
	}
	return d
}
