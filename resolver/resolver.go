// Package resolver makes containerd's registry client keep Docker's certs.d
// promise, and pull what only Registry v1 or schema 1 still serve.
//
// [New] returns a remotes.Resolver for one pull or push, [Hosts] is what all of
// them share: live connections, the client certificate that last worked, the
// endpoints that do not answer. The v2 protocol itself is left to
// core/remotes/docker.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Options are what one pull or push brings along. The zero value pulls
// anonymously with the hosts of [DefaultHosts].
type Options struct {
	// Hosts are shared by all resolvers of a process. nil means DefaultHosts.
	Hosts *Hosts
	// Header is sent with each request to a registry, and to no other host.
	Header http.Header
	// Credentials returns user and secret for a registry's host[:port]; without
	// a user the secret is a refresh token. nil means anonymous. It is asked for
	// the endpoints of the reference only, never for a redirect target.
	Credentials func(host string) (user, secret string, err error)
	// Fallback is asked for what Credentials has none for, in the same way.
	Fallback func(host string) (user, secret string, err error)
	// PlainHTTP asks for http. It counts only for a registry without a
	// directory.
	PlainHTTP bool
	// MaxWait is how long one request waits for a registry that answers 429 and
	// says by Retry-After when to ask again; zero is two minutes.
	MaxWait time.Duration
	// UpdateClient may wrap the transport of each HTTP client, for debug output.
	UpdateClient func(*http.Client) error
	// Tracker remembers uploads. nil means one for this resolver alone.
	Tracker docker.StatusTracker

	// Store takes images converted from Registry v1 and schema 1. Where it is
	// the store that is pulled into, nothing is copied twice. nil means that
	// such images are refused.
	Store content.Store
	// IntoStore says that the Store is the one that is pulled into: what a fetcher is
	// asked for is not looked for there once more.
	IntoStore bool
	// Downloads, if set, bounds the layers that conversions fetch at a time, in place
	// of the limiter given to SetOptions.
	Downloads v1compat.Limiter
	// Reader keeps what is converted for one reader from being found in the
	// store by others, and by those without one. It is no secret. Empty stands
	// for whoever has the store.
	Reader string
	// OnProgress observes the layers of a conversion. It is called concurrently.
	OnProgress func(v1compat.Progress)
	// Measure has the layers of what would have to be converted asked for their
	// sizes, and nothing converted: Resolve fails with an [UnconvertedError]. Store
	// counts for nothing then.
	Measure bool
	// Begin has what would have to be converted from schema 1 looked at as far as
	// that goes without its layers, and nothing converted: Resolve fails with an
	// [UnconvertedError] where a pull would begin. Store counts for nothing then.
	Begin bool
	// V2Only leaves Registry v1 and schema 1 out: what Resolve finds is what the
	// v2 protocol says. That is how to look at a registry that is pushed to.
	V2Only bool
}

// Resolver is a remotes.Resolver for one pull or push. It is safe for
// concurrent use once its options are set.
type Resolver struct {
	options Options
	hosts   *Hosts
	docker  remotes.ResolverWithOptions
	// limits are what SetOptions was given, for conversions.
	limits transfer.ImageResolverOptions

	// mu guards registries.
	mu sync.Mutex
	// registries keeps one list per registry, so that Resolve, Fetcher and
	// Pusher share their tokens.
	registries map[string][]docker.RegistryHost
}

var _ remotes.ResolverWithOptions = (*Resolver)(nil)

// New makes a resolver.
func New(o Options) *Resolver {
	r := &Resolver{options: o, hosts: o.Hosts, registries: map[string][]docker.RegistryHost{}}
	if r.hosts == nil {
		r.hosts = DefaultHosts
	}
	inner := docker.NewResolver(docker.ResolverOptions{
		Hosts:   r.registryHosts,
		Headers: o.Header,
		Tracker: o.Tracker,
	})
	withOptions, ok := inner.(remotes.ResolverWithOptions)
	if !ok {
		panic(fmt.Sprintf("docker's resolver is a %T, which takes no options", inner))
	}
	r.docker = withOptions
	return r
}

// SetOptions implements remotes.ResolverWithOptions.
func (r *Resolver) SetOptions(options ...transfer.ImageResolverOption) {
	r.docker.SetOptions(options...)
	for _, o := range options {
		o(&r.limits)
	}
}

// Resolve implements remotes.Resolver. The error names each endpoint that was
// asked, in order, with its directory, the certificates and the answers.
func (r *Resolver) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return "", ocispec.Descriptor{}, err
	}
	without := certsd.WithRepository(discreet.Context(ctx), repository(spec))
	ctx, trail := account(without)
	if r.options.V2Only {
		ctx = withAbsence(ctx)
	}
	name, desc, err := r.docker.Resolve(r.ahead(ctx, spec.Hostname()), ref)
	if errdefs.IsNotFound(err) && found(trail) {
		// containerd says so of a manifest that is too large.
		err = fmt.Errorf("%w: %s", errUnusable, presentable(err))
	}
	name, desc, err = r.legacy(ctx, spec, name, desc, err)
	return name, desc, explain(r.missingTag(without, spec, trail, err), ref, trail)
}

// errUnusable is a manifest that is there.
var errUnusable = errors.New("what the registry has cannot be used")

// found reports whether a registry has answered with a manifest.
func found(trail *certsd.Trail) bool {
	return slices.ContainsFunc(trail.Attempts(), func(a certsd.Attempt) bool {
		return a.Status == http.StatusOK && strings.Contains(a.URL, "/manifests/")
	})
}

// Fetcher implements remotes.Resolver. The fetcher is a
// remotes.FetcherByDigest and a remotes.ReferrersFetcher, too.
func (r *Resolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return nil, err
	}
	inner, err := r.docker.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	elsewhere, err := r.hosts.clientForStrangers(r.options)
	if err != nil {
		return nil, err
	}
	return newFetcher(r, inner, elsewhere, spec, ref)
}

// onlyPlain reports whether all of them are spoken to in plain HTTP.
func onlyPlain(hosts []docker.RegistryHost) bool {
	return !slices.ContainsFunc(hosts, func(rh docker.RegistryHost) bool { return rh.Scheme != "http" })
}

// Pusher implements remotes.Resolver.
func (r *Resolver) Pusher(ctx context.Context, ref string) (remotes.Pusher, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return nil, err
	}
	inner, err := r.docker.Pusher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return newPusher(inner, ref, repository(spec))
}

// ahead looks up the registry for registryHosts and for the first request of a
// call alike, where neither has been done. What is wrong with a directory is
// left for registryHosts to meet.
func (r *Resolver) ahead(ctx context.Context, registry string) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.registries[registry]; ok {
		return ctx
	}
	ahead, host, err := r.hosts.directories().LookupFor(ctx, registry)
	if err != nil {
		return ctx
	}
	hosts, err := r.hosts.endpoints(registry, host, r.options)
	if err != nil {
		return ctx
	}
	r.registries[registry] = hosts
	return ahead
}

// registryHosts is the docker.RegistryHosts of this resolver.
func (r *Resolver) registryHosts(registry string) ([]docker.RegistryHost, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hosts, ok := r.registries[registry]; ok {
		return hosts, nil
	}
	hosts, err := r.hosts.registryHosts(registry, r.options)
	if err != nil {
		return nil, err
	}
	r.registries[registry] = hosts
	return hosts, nil
}
