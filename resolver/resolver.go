// Package resolver makes containerd's registry client keep the promise of Docker's
// certs.d, and pull what only Registry v1 or schema 1 still serve.
//
// [New] returns a remotes.Resolver for one pull or push; [Hosts] is what all of
// them share: live connections, the client certificate that last worked, the
// endpoints that do not answer. The v2 protocol itself is spoken by
// core/remotes/docker.
//
// Read resolver.go first, whose calls lead everywhere; then
//
//	registries.go    the endpoints of a registry; endpoint.go and open.go ask them
//	hosts.go         what a request passes through: manifest_check.go, content_encoding.go,
//	                 upload_location.go, cooldown.go, plain_fallback.go
//	authorizer.go    tokens: shared_token.go, redirect_tokens.go
//	tags.go          lists, with pages.go, referrers.go and referrers_tag.go
//	fetcher.go       content: blobs.go, foreign.go
//	pusher.go        pushes: push_manifest.go, try_push.go
//	legacy.go        whether an image is converted: schema1.go, v1.go, convert.go
//	errors.go        what an error says
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// Options are the settings of one pull or push. The zero value pulls anonymously
// with the hosts of [DefaultHosts].
type Options struct {
	// Hosts is shared by all resolvers of a process. nil means DefaultHosts.
	Hosts *Hosts
	// Header is sent with each request to a registry, and to no other host.
	Header http.Header
	// Credentials returns user and secret for a registry's host[:port]; without a
	// user the secret is a refresh token. nil means anonymous. It is called for the
	// endpoints of the reference only, never for a redirect target.
	Credentials func(host string) (user, secret string, err error)
	// Fallback is called in the same way where Credentials returns none.
	Fallback func(host string) (user, secret string, err error)
	// PlainHTTP requests http. It is honored only for a registry without a directory.
	PlainHTTP bool
	// MaxWait is how long one request waits for a registry that answers 429 with a
	// Retry-After; zero means two minutes.
	MaxWait time.Duration
	// UpdateClient may wrap the transport of each HTTP client, for debug output.
	UpdateClient func(*http.Client) error
	// Tracker remembers uploads. nil means one for this resolver alone.
	Tracker docker.StatusTracker

	// Store receives images converted from Registry v1 and schema 1. If it is the
	// store that is pulled into, nothing is copied twice. nil means that such images
	// are refused.
	Store content.Store
	// IntoStore reports that Store is the one that is pulled into, so a fetcher does
	// not look there again.
	IntoStore bool
	// Downloads, if set, bounds how many layers conversions fetch at a time, in
	// place of the limiter given to SetOptions.
	Downloads v1compat.Limiter
	// Reader identifies the reader for whom images are converted: no other reader
	// finds the results in the store. It is not a secret. Readers with an empty one
	// share theirs.
	Reader string
	// OnProgress observes the layers of a conversion. It is called concurrently.
	OnProgress func(v1compat.Progress)
	// Measure requests the sizes of the layers of an image that needs conversion, and
	// converts nothing: Resolve fails with an [UnconvertedError]. Store is unused
	// then.
	Measure bool
	// Begin examines a schema 1 image that needs conversion as far as possible
	// without its layers, and converts nothing: Resolve fails with an
	// [UnconvertedError] where a pull would begin. Store is unused then.
	Begin bool
	// V2Only disables Registry v1 and schema 1: Resolve returns the result of the v2
	// protocol. Use it for a registry that is pushed to.
	V2Only bool
}

// Resolver is a remotes.Resolver for one pull or push. It is safe for
// concurrent use once its options are set.
type Resolver struct {
	options Options
	hosts   *Hosts
	// registries holds the endpoints, docker speaks v2 with them, and legacy
	// everything older.
	registries *registries
	docker     remotes.ResolverWithOptions
	legacy     *legacy
	// limits are the options given to SetOptions, for conversions.
	limits transfer.ImageResolverOptions
}

var _ remotes.ResolverWithOptions = (*Resolver)(nil)

// New returns a resolver for one pull or push.
func New(o Options) *Resolver {
	r := &Resolver{options: o, hosts: o.Hosts}
	if r.hosts == nil {
		r.hosts = DefaultHosts
	}
	r.registries = &registries{hosts: r.hosts, options: &r.options, known: map[string][]docker.RegistryHost{}}
	inner := docker.NewResolver(docker.ResolverOptions{
		Hosts:   r.registries.of,
		Headers: o.Header,
		Tracker: o.Tracker,
	})
	withOptions, ok := inner.(remotes.ResolverWithOptions)
	if !ok {
		panic(fmt.Sprintf("docker's resolver is a %T, which takes no options", inner))
	}
	r.docker = withOptions
	r.legacy = newLegacy(r)
	return r
}

// SetOptions implements remotes.ResolverWithOptions.
func (r *Resolver) SetOptions(options ...transfer.ImageResolverOption) {
	r.docker.SetOptions(options...)
	for _, o := range options {
		o(&r.limits)
	}
}

// Resolve implements remotes.Resolver. The error names each endpoint that was asked,
// in order, with its directory, the certificates and the answers.
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
	name, desc, err := r.docker.Resolve(r.registries.ahead(ctx, spec.Hostname()), ref)
	if errdefs.IsNotFound(err) && found(trail) {
		// containerd reports a manifest that is too large as not found.
		err = fmt.Errorf("%w: %s", errUnusable, presentable(err))
	}
	if !r.options.V2Only {
		name, desc, err = r.legacy.settle(ctx, spec, name, desc, err)
	}
	return name, desc, explain(r.registries.missingTag(without, spec, trail, err), ref, trail)
}

// errUnusable reports that a manifest exists but cannot be used.
var errUnusable = errors.New("the registry's image cannot be used")

// found reports whether a registry answered with a manifest.
func found(trail *certsd.Trail) bool {
	return slices.ContainsFunc(trail.Attempts(), func(a certsd.Attempt) bool {
		return a.Status == http.StatusOK && strings.Contains(a.URL, "/manifests/")
	})
}

// Fetcher implements remotes.Resolver. The fetcher is also a remotes.FetcherByDigest
// and a remotes.ReferrersFetcher.
func (r *Resolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return nil, err
	}
	inner, err := r.docker.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	elsewhere, err := assembly{r.hosts}.clientForStrangers(r.options)
	if err != nil {
		return nil, err
	}
	return newFetcher(r, inner, elsewhere, spec, ref)
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

// Source returns the source that identifies the content of a repository, HOST/NAME,
// in a store: see [v1compat.Source].
func (r *Resolver) Source(ref string) (v1compat.Source, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return v1compat.Source{}, err
	}
	return r.legacy.v1.source(spec), nil
}
