package imagecopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/resolver"
)

// referrers copies the referrers of an image and of the manifests it names, if
// requested.
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

// manifestsIn lists a manifest and, recursively, those that it names.
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
		if !child.manifest {
			continue
		}
		below, err := t.manifestsIn(ctx, child.Descriptor, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// referrersOf copies the referrers of one manifest, and theirs: an attestation may be
// signed.
func (t *journey) referrersOf(ctx context.Context, subject digest.Digest, depth int) error {
	fetcher, ok := t.image.fetcher.(remotes.ReferrersFetcher)
	if !ok {
		return fmt.Errorf("the resolver's fetcher is a %T, which cannot fetch referrers", t.image.fetcher)
	}
	list, err := fetcher.FetchReferrers(ctx, subject)
	t.referrersSeen += len(list)
	switch {
	case err != nil:
		return &ReferrersError{err}
	case t.referrersSeen > maxNodes:
		// The list is the registry's claim, and may be circular.
		return fmt.Errorf("more than %d others refer to it", maxNodes)
	case len(list) > 0 && depth > maxDepth:
		return fmt.Errorf("what refers to it is referred to more than %d times over", maxDepth)
	}
	for _, d := range list {
		if err := check(d); err != nil {
			return err
		}
		if !isManifest(d.MediaType) {
			return &unusableError{fmt.Errorf("%s has the type %.80q, which cannot be copied", d.Digest, d.MediaType)}
		}
		if err := t.child(ctx, child{d, true}, 1); err != nil {
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

// announce ensures that the target lists referrers. For a registry that does not do
// so itself, clients write a tagged index: see "Referrers Tag Schema" in the
// distribution specification.
func (t *target) announce(ctx context.Context, subject digest.Digest, list []ocispec.Descriptor) error {
	ctx, err := t.scope(ctx)
	if err != nil {
		return err
	}
	ref := t.repository
	ref.Object = "@" + subject.String()
	f, err := t.resolver.Fetcher(ctx, ref.String())
	if err != nil {
		return err
	}
	fetcher, ok := f.(remotes.ReferrersFetcher)
	if !ok {
		return fmt.Errorf("the resolver's fetcher is a %T, which cannot fetch referrers", f)
	}
	listed, err := fetcher.FetchReferrers(ctx, subject)
	if err != nil {
		return &ReferrersError{err}
	}
	if missing := without(list, listed); len(missing) > 0 {
		return t.addReferrers(ctx, resolver.ReferrersTag(subject), missing)
	}
	return nil
}

// without returns the descriptors of list whose digests others lacks.
func without(list, others []ocispec.Descriptor) []ocispec.Descriptor {
	return slices.DeleteFunc(slices.Clone(list), func(d ocispec.Descriptor) bool {
		return slices.ContainsFunc(others, func(o ocispec.Descriptor) bool { return o.Digest == d.Digest })
	})
}

// addReferrers adds to the index with a tag. It keeps all existing entries, and does
// not replace an image under this tag.
func (t *target) addReferrers(ctx context.Context, tag string, list []ocispec.Descriptor) error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	ref := t.repository
	ref.Object = tag
	header := http.Header{"Accept": {ocispec.MediaTypeImageIndex + ", */*"}}
	resp, err := t.resolver.Open(ctx, ref.String(), http.MethodGet, header, "manifests", tag)
	if err == nil {
		err = readIndex(resp.Body, &index)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: what refers to the image cannot be listed there: %w", ref, err)
	}
	missing := without(list, index.Manifests)
	if len(missing) == 0 {
		return nil
	}
	index.Manifests = append(index.Manifests, missing...)
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: index.MediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	_, err = t.putManifest(ctx, tag, desc, body)
	return err
}

// readIndex reads and closes an answer that must be an OCI index.
func readIndex(rc io.ReadCloser, index *ocispec.Index) (err error) {
	defer func() { err = errors.Join(err, rc.Close()) }()
	body, err := io.ReadAll(io.LimitReader(rc, docker.MaxManifestSize+1))
	if err != nil {
		return err
	}
	if int64(len(body)) > docker.MaxManifestSize {
		return fmt.Errorf("it is larger than %d bytes", docker.MaxManifestSize)
	}
	if err := json.Unmarshal(body, index); err != nil {
		return &unusableError{fmt.Errorf("it is not an index: %w", jsonwords.Of(err))}
	}
	// The field is optional; the caller has set its default.
	if index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
		return &unusableError{fmt.Errorf("it is a %.80q, not an index: give that image another tag", index.MediaType)}
	}
	return nil
}

// ReferrersError reports that the referrers of an image could not be listed, for
// whatever reason. The image itself is not affected.
type ReferrersError struct{ Err error }

// Error implements error.
func (e *ReferrersError) Error() string { return "listing what refers to it: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ReferrersError) Unwrap() error { return e.Err }
