package imagecopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/resolver"
)

// source provides the images. Those to convert need a store, which is opened for the
// first of them.
type source struct {
	plain   *resolver.Resolver
	options resolver.Options
	limits  []transfer.ImageResolverOption
	cache   *Cache
	// locator is the repository that the store is named after.
	locator string

	// inUse is held for reading while the store may be read, and for writing while
	// content is deleted.
	inUse sync.RWMutex
	// mu guards the rest.
	mu         sync.Mutex
	converting *resolver.Resolver
	store      *store
}

func newSource(o resolver.Options, c *Copier, req Request) *source {
	o.OnProgress = c.Hooks.OnConvert
	s := &source{
		options: o,
		limits: []transfer.ImageResolverOption{
			transfer.WithMaxConcurrentDownloads(int(c.blobs())),
			// Shared by all conversions and streams of blobs.
			transfer.WithDownloadLimiter(semaphore.NewWeighted(c.blobs())),
		},
		cache:   c.Cache,
		locator: req.Source,
	}
	if spec, err := parse(req.Source); err == nil {
		s.locator = spec.Locator
	}
	if req.DryRun {
		s.cache = nil
		o.Measure = true
	}
	s.plain = s.resolver(o)
	return s
}

func (s *source) resolver(o resolver.Options) *resolver.Resolver {
	r := resolver.New(o)
	r.SetOptions(s.limits...)
	return r
}

// use prevents deletions from the store until the returned function is called, which
// then deletes what exceeds the limit.
func (s *source) use() func() {
	s.inUse.RLock()
	return func() {
		s.inUse.RUnlock()
		s.mu.Lock()
		store := s.store
		s.mu.Unlock()
		// Locking makes all tags wait for each other, so avoid it if possible.
		if store == nil || !store.full() {
			return
		}
		s.inUse.Lock()
		defer s.inUse.Unlock()
		store.trim()
	}
}

// close closes the store. If the copy is complete, the store is no longer needed.
func (s *source) close(complete bool) error {
	if s.store == nil {
		return nil
	}
	return s.store.close(complete)
}

// image is one image at the source.
type image struct {
	desc    ocispec.Descriptor
	fetcher remotes.Fetcher
}

func (s *source) resolve(ctx context.Context, ref string) (*image, error) {
	r := s.current()
	name, desc, err := r.Resolve(ctx, ref)
	if errdefs.IsNotImplemented(err) && s.cache != nil && r == s.plain {
		if r, err = s.withStore(); err != nil {
			return nil, err
		}
		name, desc, err = r.Resolve(ctx, ref)
	}
	if err != nil {
		return nil, err
	}
	fetcher, err := r.Fetcher(ctx, name)
	if err != nil {
		return nil, err
	}
	return &image{desc: desc, fetcher: fetcher}, nil
}

func (s *source) current() *resolver.Resolver {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.converting != nil {
		return s.converting
	}
	return s.plain
}

func (s *source) withStore() (*resolver.Resolver, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.converting != nil {
		return s.converting, nil
	}
	store, err := s.cache.open(s.locator)
	if err != nil {
		return nil, err
	}
	o := s.options
	o.Store = store
	s.store, s.converting = store, s.resolver(o)
	return s.converting, nil
}

// blob opens a blob. It hides a manifest's media type: containerd would request such
// content as a manifest.
func (i *image) blob(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if isManifest(desc.MediaType) {
		desc.MediaType = "application/octet-stream"
	}
	return i.fetcher.Fetch(ctx, desc)
}

// manifest reads a whole manifest.
func (i *image) manifest(ctx context.Context, desc ocispec.Descriptor) (body []byte, err error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	if desc.Size > docker.MaxManifestSize {
		return nil, fmt.Errorf("%s: a manifest of %d bytes is too large", desc.Digest, desc.Size)
	}
	asked := desc
	if asked.MediaType == mediaTypeArtifact {
		// containerd does not know that this is a manifest.
		asked.MediaType = ocispec.MediaTypeImageManifest
	}
	rc, err := i.fetcher.Fetch(ctx, asked)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	body, err = io.ReadAll(io.LimitReader(rc, desc.Size+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) != desc.Size || desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		return nil, &mismatchError{desc: desc, size: int64(len(body))}
	}
	return body, nil
}

// pick returns the image for one platform, or the whole if platform is nil.
func (i *image) pick(ctx context.Context, platform *platforms.Platform) (ocispec.Descriptor, error) {
	if platform == nil || !images.IsIndexType(i.desc.MediaType) {
		return i.desc, nil
	}
	body, err := i.manifest(ctx, i.desc)
	if err != nil {
		return i.desc, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(body, &index); err != nil {
		return i.desc, fmt.Errorf("%s: %w", i.desc.Digest, jsonwords.Of(err))
	}
	matcher := platforms.Only(*platform)
	var best *ocispec.Descriptor
	for _, m := range index.Manifests {
		if m.Platform == nil || !images.IsManifestType(m.MediaType) || !matcher.Match(*m.Platform) {
			continue
		}
		if best == nil || matcher.Less(*m.Platform, *best.Platform) {
			best = &m
		}
	}
	if best == nil {
		return i.desc, fmt.Errorf("%s: no image for %s among its %d: %w", i.desc.Digest, platforms.FormatAll(*platform), len(index.Manifests), errdefs.ErrNotFound)
	}
	return *best, nil
}
