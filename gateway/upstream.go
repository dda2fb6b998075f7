package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/resolver"
)

const (
	// resolverAge bounds how long a resolver, and its token, is kept.
	resolverAge = 5 * time.Minute
	// maxResolvers bounds their number: clients choose the repositories.
	maxResolvers = 1024
)

// cachedResolver has the resolvers for one repository. It is kept so that the requests
// of a pull share a token.
type cachedResolver struct {
	// fetch reads what exists, resolve what may need conversion: only conversions count
	// against the limit for downloads.
	fetch, resolve *resolver.Resolver
	// host is the configuration it was made with: a change makes a new one.
	host *certsd.Host
	made time.Time
	// refused is the last refusal of the login, nil if it was accepted.
	refused atomic.Pointer[refusal]
}

// upstreams are the registries, and decide which may be asked and how.
type upstreams struct {
	hosts       *resolver.Hosts
	credentials func(host, repository string) (user, secret string, err error)
	store       *imageStore
	patience    time.Duration
	// id marks the gateway's own requests.
	id string
	// named are the registries that may be asked without a directory of their own.
	named map[string]bool
	// slots bounds the requests, downloads the layers that conversions fetch.
	slots, downloads *shares

	// mu guards resolvers.
	mu        sync.Mutex
	resolvers map[string]*cachedResolver
}

func newUpstreams(o *options) (*upstreams, error) {
	named, err := canonicalSet(o.Upstreams)
	if err != nil {
		return nil, err
	}
	return &upstreams{
		hosts: o.Hosts, credentials: o.Credentials, store: o.Store, patience: o.Patience,
		id: rand.Text(), named: named,
		slots: newShares(cmp.Or(o.MaxUpstream, 64)), downloads: newShares(cmp.Or(o.MaxDownloads, 6)),
		resolvers: map[string]*cachedResolver{},
	}, nil
}

// mayAsk returns an error unless a registry may be asked. It reads the disk but does
// not use the network, not even DNS.
func (u *upstreams) mayAsk(host string) error {
	own, err := u.hosts.Own(host)
	if err != nil {
		return &fault{status: http.StatusInternalServerError, code: codeUnavailable, message: err.Error(), cause: err}
	}
	// The default port may be omitted on either side, as with directories.
	name := strings.TrimSuffix(host, ":443")
	if own != nil || u.named[host] || u.named[name] || u.named[name+":443"] {
		return nil
	}
	return &fault{
		status: http.StatusForbidden, code: codeDenied,
		message: host + " is not an upstream of this gateway: make a certs.d directory named after it, or add it to upstreams",
	}
}

// resolverFor returns the resolvers for the repository of a target.
func (u *upstreams) resolverFor(t *target) *cachedResolver {
	// The resolver meets the same error and reports it.
	host, err := u.hosts.Lookup(t.host)
	u.mu.Lock()
	defer u.mu.Unlock()
	key, age := t.repositoryKey(), resolverAge
	if t.login != nil {
		age = loginAge
	}
	if c, ok := u.resolvers[key]; ok && err == nil && c.host == host && time.Since(c.made) < age {
		return c
	}
	c := &cachedResolver{host: host, made: time.Now(), fetch: u.newResolver(t), resolve: u.newResolver(t)}
	if len(u.resolvers) >= maxResolvers {
		clear(u.resolvers)
	}
	u.resolvers[key] = c
	if t.login != nil {
		time.AfterFunc(loginAge, func() { u.forget(key, c) })
	}
	return c
}

// forget drops a resolver with its credentials and tokens.
func (u *upstreams) forget(key string, c *cachedResolver) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.resolvers[key] == c {
		delete(u.resolvers, key)
	}
}

func (u *upstreams) newResolver(t *target) *resolver.Resolver {
	registry, repository, login := t.host, t.repository, t.login
	o := resolver.Options{
		Hosts:     u.hosts,
		Downloads: share{u.downloads, registry},
		// Clients are waiting, and know how to retry.
		MaxWait: u.patience / 5,
		// It also lets a gateway recognize its own requests.
		Header: http.Header{"Via": {"1.1 certsd-" + u.id}},
		UpdateClient: func(c *http.Client) error {
			c.Transport = &limited{next: &forwarded{c.Transport}, slots: share{u.slots, registry}, patience: u.patience * 4 / 5}
			return nil
		},
	}
	switch {
	case login != nil:
		o.Credentials, o.Reader = login.credentials, login.id
	case u.credentials != nil:
		o.Credentials = func(host string) (string, string, error) { return u.credentials(host, repository) }
	}
	if u.store != nil {
		o.Store = u.store
	}
	return resolver.New(o)
}

// openBlob requests a blob from an offset on, for a shared download.
func (u *upstreams) openBlob(ctx context.Context, t *target, offset int64) (*http.Response, error) {
	ctx = withVia(ctx, t.via)
	get := func(ctx context.Context, header http.Header) (*http.Response, error) {
		return u.resolverFor(t).fetch.Open(ctx, t.ref(), http.MethodGet, header, "blobs", t.digest.String())
	}
	if offset > 0 {
		return get(unhurried(ctx), http.Header{"Range": {fmt.Sprintf("bytes=%d-", offset)}})
	}
	// Clients wait for the first request.
	ctx, answered := hurry(ctx, t.host, u.patience)
	resp, err := get(ctx, http.Header{})
	if !answered() && err == nil {
		// The context has ended, so its body would be cut.
		_ = resp.Body.Close()
		return nil, context.Cause(ctx)
	}
	return resp, err
}

// forwarded tells a registry who passed a request on: RFC 9110, 7.6.3. This lets a
// gateway recognize its own requests even if they return through others.
type forwarded struct {
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f *forwarded) RoundTrip(req *http.Request) (*http.Response, error) {
	own := req.Header.Values("Via")
	received, _ := req.Context().Value(viaKey{}).(string)
	// Hosts that a registry redirects to are not told.
	if len(own) == 0 || received == "" {
		return f.next.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Header["Via"] = []string{received + ", " + own[0]}
	return f.next.RoundTrip(req)
}

type viaKey struct{}

// withVia marks requests made on behalf of one that others passed on.
func withVia(ctx context.Context, via string) context.Context {
	return context.WithValue(ctx, viaKey{}, via)
}

// canonicalSet returns a set of host[:port].
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
