package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/bounded"
	"github.com/certsd/containerd-certsd/internal/discreet"
)

// dockerFetcher is the interface of containerd's docker fetcher.
type dockerFetcher interface {
	remotes.Fetcher
	remotes.FetcherByDigest
}

// fetcher is containerd's docker fetcher with errors that list what was tried, and
// with converted content.
type fetcher struct {
	inner dockerFetcher
	// store holds converted content; nil if there is none, or the caller has looked
	// there already.
	store content.Store
	// elsewhere requests URLs in descriptors, which belong to no registry.
	elsewhere *http.Client
	// plain reports whether the registry uses only plain HTTP.
	plain      bool
	hooks      Hooks
	registries *registries
	spec       reference.Spec
	ref        string
	repository string
}

var (
	_ dockerFetcher            = (*fetcher)(nil)
	_ remotes.ReferrersFetcher = (*fetcher)(nil)
)

func newFetcher(r *Resolver, inner remotes.Fetcher, elsewhere *http.Client, spec reference.Spec, ref string) (*fetcher, error) {
	d, ok := inner.(dockerFetcher)
	if !ok {
		return nil, fmt.Errorf("docker's fetcher is a %T, which cannot fetch by digest", inner)
	}
	plain, err := r.registries.onlyPlain(spec.Hostname())
	if err != nil {
		return nil, err
	}
	store := r.options.Store
	if r.options.IntoStore {
		store = nil
	}
	return &fetcher{
		inner: d, store: store, elsewhere: elsewhere, plain: plain,
		hooks: r.hosts.Hooks, registries: r.registries, spec: spec, ref: ref, repository: repository(spec),
	}, nil
}

// Fetch implements remotes.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if rc, err := f.converted(ctx, desc); err != nil || rc != nil {
		return rc, err
	}
	ctx, tried := f.begin(ctx)
	urls := desc.URLs
	desc.URLs = nil
	rc, err := f.fetch(withBlob(ctx, desc), desc)
	if err == nil && len(urls) > 0 {
		rc = f.newForeign(ctx, urls, desc.Size, rc)
	}
	return f.watched(f.reader(rc, tried), desc), explain(err, f.ref, tried.trail)
}

// watched reports the progress of a download to the hook.
func (f *fetcher) watched(rc io.ReadCloser, desc ocispec.Descriptor) io.ReadCloser {
	return f.hooks.watchedBody(Work{Registry: f.spec.Hostname(), Ref: f.ref, Digest: desc.Digest, Size: desc.Size}, rc)
}

// FetchByDigest implements remotes.FetcherByDigest.
func (f *fetcher) FetchByDigest(ctx context.Context, dgst digest.Digest, opts ...remotes.FetchByDigestOpts) (io.ReadCloser, ocispec.Descriptor, error) {
	ctx, tried := f.begin(ctx)
	rc, desc, err := f.inner.FetchByDigest(ctx, dgst, opts...)
	return f.reader(rc, tried), desc, explain(err, f.ref, tried.trail)
}

// FetchReferrers implements remotes.ReferrersFetcher. containerd's own takes failures
// for absence, and the first page of a list for the whole.
func (f *fetcher) FetchReferrers(ctx context.Context, dgst digest.Digest, opts ...remotes.FetchReferrersOpt) ([]ocispec.Descriptor, error) {
	ctx, tried := f.begin(ctx)
	var config remotes.FetchReferrersConfig
	for _, o := range opts {
		if err := o(ctx, &config); err != nil {
			return nil, err
		}
	}
	asked := &referrers{subject: dgst, config: &config, warn: f.hooks.warn(f.spec.Hostname())}
	descs, err := asked.list(ctx, f.registries, f.spec)
	return descs, explain(err, f.ref, tried.trail)
}

// tried records what was tried for a call, and why its content broke off.
type tried struct {
	trail   *certsd.Trail
	account *bounded.Account
}

func (f *fetcher) begin(ctx context.Context) (context.Context, tried) {
	ctx, account := bounded.WithAccount(certsd.WithRepository(discreet.Context(ctx), f.repository))
	ctx, trail := certsd.WithTrail(ctx)
	return ctx, tried{trail, account}
}

// converted opens converted content in the store. A pull into that same store never
// asks for it.
func (f *fetcher) converted(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if f.store == nil {
		return nil, nil
	}
	at, err := f.store.ReaderAt(ctx, desc)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s in the content store: %w", desc.Digest, err)
	}
	return &storeReader{Reader: content.NewReader(at), Closer: at}, nil
}

type storeReader struct {
	io.Reader
	io.Closer
}

// reader explains errors of a body, which is requested by its first Read.
func (f *fetcher) reader(rc io.ReadCloser, t tried) io.ReadCloser {
	if rc == nil {
		return nil
	}
	b := &body{ReadCloser: rc, ref: f.ref, tried: t}
	if s, ok := rc.(io.Seeker); ok {
		return &seekableBody{body: b, Seeker: s}
	}
	return b
}

type body struct {
	io.ReadCloser
	ref   string
	tried tried
}

// Read implements io.Reader. It does not wrap io.EOF, as io.Reader requires.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	if why := b.tried.account.Last(); why != nil && errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", why, err)
	}
	return n, explain(err, b.ref, b.tried.trail)
}

// seekableBody can be resumed by containerd's content.Copy.
type seekableBody struct {
	*body
	io.Seeker
}
