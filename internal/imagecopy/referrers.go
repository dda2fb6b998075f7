package imagecopy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrers copies what refers to an image and to the manifests it names, if
// that is requested.
func (t *journey) referrers(ctx context.Context, root ocispec.Descriptor) error {
	if !t.request.Referrers {
		return nil
	}
	manifests, err := t.manifestsIn(ctx, root, 0)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		err := t.referred.once(ctx, m, func() error { return t.referrersOf(ctx, m, 0) })
		if err != nil {
			return fmt.Errorf("what refers to %s: %w", m, err)
		}
	}
	return nil
}

// manifestsIn lists a manifest and those that it names, all the way down.
func (t *journey) manifestsIn(ctx context.Context, desc ocispec.Descriptor, depth int) ([]digest.Digest, error) {
	all := []digest.Digest{desc.Digest}
	if !images.IsIndexType(desc.MediaType) || depth > maxDepth {
		return all, nil
	}
	body, err := t.image.manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	children, err := childrenOf(desc, body)
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		if !isManifest(child.MediaType) {
			continue
		}
		below, err := t.manifestsIn(ctx, child, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// referrersOf copies what refers to one manifest, and what refers to that: an
// attestation may be signed.
func (t *journey) referrersOf(ctx context.Context, subject digest.Digest, depth int) error {
	fetcher, ok := t.image.fetcher.(remotes.ReferrersFetcher)
	if !ok {
		return fmt.Errorf("the resolver's fetcher is a %T, which fetches no referrers", t.image.fetcher)
	}
	list, err := fetcher.FetchReferrers(ctx, subject)
	t.referrersSeen += len(list)
	switch {
	case err != nil:
		return err
	case t.referrersSeen > maxNodes:
		// Who refers to what is the registry's word: it may lead in circles.
		return fmt.Errorf("more than %d others refer to it", maxNodes)
	case len(list) > 0 && depth > maxDepth:
		return fmt.Errorf("what refers to it is referred to more than %d times over", maxDepth)
	}
	list = slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return !isManifest(d.MediaType) })
	for _, d := range list {
		if err := check(d); err != nil {
			return err
		}
		if err := t.child(ctx, d, 1); err != nil {
			return err
		}
		if err := t.referrersOf(ctx, d.Digest, depth+1); err != nil {
			return err
		}
	}
	if t.request.DryRun || len(list) == 0 {
		return nil
	}
	return t.to.announce(ctx, subject, list)
}

// announce makes sure that the target lists referrers. A registry that does not
// do so by itself lists them in an index with a tag, which clients write: see
// "Referrers Tag Schema" in the distribution specification.
func (p *pusher) announce(ctx context.Context, subject digest.Digest, list []ocispec.Descriptor) error {
	ref := p.repository
	ref.Object = "@" + subject.String()
	f, err := p.resolver.Fetcher(ctx, ref.String())
	if err != nil {
		return err
	}
	fetcher, ok := f.(remotes.ReferrersFetcher)
	if !ok {
		return fmt.Errorf("the resolver's fetcher is a %T, which fetches no referrers", f)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	if index.Manifests, err = fetcher.FetchReferrers(ctx, subject); err != nil {
		return err
	}
	listed := len(index.Manifests)
	for _, d := range list {
		if !slices.ContainsFunc(index.Manifests, func(other ocispec.Descriptor) bool { return other.Digest == d.Digest }) {
			index.Manifests = append(index.Manifests, d)
		}
	}
	if listed == len(index.Manifests) {
		return nil
	}
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	ref.Object = strings.Replace(subject.String(), ":", "-", 1) + "@" + desc.Digest.String()
	tag, err := p.pusher(ctx, ref)
	if err != nil {
		return err
	}
	return tag.putManifest(ctx, desc, body)
}
