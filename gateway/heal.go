package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// labelTag followed by host/repository is a label of manifests: the tag that was last
// converted to it. Neither v1 nor schema 1 registries know the digest, so if the
// manifest is no longer stored, the tag is what to ask for.
const labelTag = "certsd/tag."

// shelf serves stored content to clients that may read it at their registry.
type shelf struct {
	// store is nil if nothing is kept.
	store     *imageStore
	upstreams *upstreams
}

// stored finds the blob with a target's digest among conversions of its repository.
func (s *shelf) stored(ctx context.Context, t *target) (content.Info, bool) {
	if s.store == nil || t.digest == "" {
		return content.Info{}, false
	}
	from, err := s.upstreams.resolverFor(t).fetch.Source(t.ref())
	if err != nil {
		return content.Info{}, false
	}
	return s.store.find(ctx, t.digest, from.Left)
}

// remember records the tag of a stored manifest.
func (s *shelf) remember(ctx context.Context, t *target, d digest.Digest) {
	found := *t
	found.digest = d
	info, ok := s.stored(ctx, &found)
	if !ok || !isManifest(info) || info.Labels[labelTag+t.repositoryKey()] == t.tag {
		return
	}
	// Without it the image is converted again when it is pulled by tag.
	_, _ = s.store.Update(ctx, content.Info{Digest: d, Labels: map[string]string{labelTag + t.repositoryKey(): t.tag}}, "labels."+labelTag+t.repositoryKey())
}

// tagOf returns the tag that a digest of a repository was converted from, or "".
func (s *shelf) tagOf(t *target) string {
	if s.store == nil || t.digest == "" {
		return ""
	}
	set, err := s.store.labels.Get(t.digest)
	if tag := set[labelTag+t.repositoryKey()]; err == nil && tagName.MatchString(tag) {
		return tag
	}
	return ""
}

// complete reports whether all blobs of a manifest are there.
func (s *imageStore) complete(ctx context.Context, manifest content.Info) bool {
	for _, child := range children(manifest) {
		if _, err := s.Store.Info(ctx, child); errdefs.IsNotFound(err) {
			return false
		}
	}
	return true
}

// discard removes a blob unconditionally, but keeps the record of its tags.
func (s *imageStore) discard(ctx context.Context, d digest.Digest) error {
	return s.holds.discarding(d, func() error {
		set, err := s.labels.Get(d)
		maps.DeleteFunc(set, func(key, _ string) bool { return !strings.HasPrefix(key, labelTag) })
		err = errors.Join(err, s.Delete(ctx, d))
		if len(set) > 0 {
			err = errors.Join(err, s.labels.Set(d, set))
		}
		return err
	})
}

// discard removes a damaged blob. The images that have it become incomplete, and are
// converted again on request.
func (s *shelf) discard(ctx context.Context, d digest.Digest, cause error) {
	err := s.store.discard(ctx, d)
	log.G(ctx).WithError(errors.Join(cause, err)).Error("certsd gateway: a stored blob is damaged and was removed")
}

// manifest finds the manifest of a conversion that has all of its blobs.
func (s *shelf) manifest(ctx context.Context, t *target) (ocispec.Descriptor, bool) {
	info, ok := s.stored(ctx, t)
	if !ok || !isManifest(info) {
		return ocispec.Descriptor{}, false
	}
	if !s.store.complete(ctx, info) {
		err := s.store.discard(ctx, info.Digest)
		log.G(ctx).WithField("image", t.named()).WithError(err).Warn("certsd gateway: a stored image lacks a blob and is converted again")
		return ocispec.Descriptor{}, false
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: info.Digest, Size: info.Size}, true
}

// verify reads a blob completely, once per process: a range alone cannot be verified.
func (s *shelf) verify(ctx context.Context, at content.ReaderAt, t *target) error {
	if s.store.holds.isVerified(t.digest) {
		return nil
	}
	whole := newVerifier(io.NewSectionReader(at, 0, at.Size()), t.named(), t.digest)
	buf, _ := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		_, err := whole.Read(*buf)
		switch {
		case err == io.EOF:
			s.store.holds.setVerified(t.digest)
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
