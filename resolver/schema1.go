package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat"
)

// errNotSchema1 reports that the manifest turned out to be of another kind.
var errNotSchema1 = errors.New("not a schema 1 manifest")

// maybeSchema1 reports whether a manifest of this media type must be examined. The
// first v2 registries, docker/distribution 2.0, called every manifest
// application/json.
func maybeSchema1(mediaType string) bool {
	switch mediaType {
	case v1compat.MediaTypeSchema1Signed, v1compat.MediaTypeSchema1, "application/json":
		return true
	default:
		return false
	}
}

// schema1Images handles images with a schema 1 manifest.
type schema1Images struct {
	*conversions
	docker remotes.Resolver
}

// image converts the manifest that a reference names. resolved is the result of the
// v2 resolution, zero without one.
func (s *schema1Images) image(ctx context.Context, spec reference.Spec, resolved ocispec.Descriptor) (ocispec.Descriptor, error) {
	body, want, err := s.manifest(ctx, spec, resolved)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if err := s.mayConvert(spec); err != nil {
		return ocispec.Descriptor{}, err
	}
	return s.observed(ctx, spec, ProtocolSchema1, func(ctx context.Context) (ocispec.Descriptor, error) {
		return s.read(ctx, spec, body, want)
	})
}

// pinned finds a schema 1 image by the digest of its conversion, which its registry
// does not know: among earlier conversions, or by the tag in the reference. Otherwise
// it returns the registry's "not found".
func (s *schema1Images) pinned(ctx context.Context, spec reference.Spec, notFound error) (ocispec.Descriptor, error) {
	if spec.Digest() == "" || s.options.Store == nil || s.hosts.NoSchema1 {
		return ocispec.Descriptor{}, notFound
	}
	if desc, ok := s.before(ctx, spec); ok {
		return desc, nil
	}
	tag, _, _ := strings.Cut(spec.Object, "@")
	if tag == "" {
		return ocispec.Descriptor{}, fmt.Errorf("%w (a schema 1 image has another digest there than when it is converted: pull %s:TAG@%s, which converts the tag and compares)",
			notFound, spec.Locator, spec.Digest())
	}
	tagged := reference.Spec{Locator: spec.Locator, Object: tag}
	_, desc, err := s.docker.Resolve(ctx, tagged.String())
	if err != nil && !errdefs.IsNotImplemented(err) || err == nil && !maybeSchema1(desc.MediaType) {
		return ocispec.Descriptor{}, notFound
	}
	converted, err := s.image(ctx, tagged, desc)
	if errors.Is(err, errNotSchema1) {
		return ocispec.Descriptor{}, notFound
	}
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return converted, compare(spec, converted)
}

// read converts a manifest that must have the digest want.
func (s *schema1Images) read(ctx context.Context, spec reference.Spec, body []byte, want digest.Digest) (ocispec.Descriptor, error) {
	manifest, err := v1compat.ParseSchema1(body, want)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%s: %w", spec, err)
	}
	tag, _, _ := strings.Cut(spec.Object, "@")
	if err := manifest.CheckName(repository(spec), tag); err != nil && s.hosts.Hooks.OnWarning != nil {
		s.hosts.Hooks.OnWarning(spec.Hostname(), err)
	}
	image := manifest.Image(spec.Hostname(), repository(spec), s.blobOpener(spec))
	for i := range image.Entries {
		image.Entries[i].Measure = s.blobSize(spec, image.Entries[i].Digest)
	}
	image.Scheme, image.Reader = s.source(spec).Scheme, s.options.Reader
	// A digest in the reference is the schema 1 manifest's, which was verified
	// already.
	tagOnly := spec
	tagOnly.Object = ""
	return s.convert(ctx, tagOnly, image)
}

func (s *schema1Images) mayConvert(spec reference.Spec) error {
	switch {
	case s.hosts.NoSchema1:
		return fmt.Errorf("%s is a schema 1 image, and schema1 = false refuses it: %w", spec, errdefs.ErrNotImplemented)
	case s.options.Store == nil && !s.options.Measure && !s.options.Begin:
		return fmt.Errorf("%s is a schema 1 image, and this client has no content store to convert it into: %w", spec, errdefs.ErrNotImplemented)
	default:
		return nil
	}
}

// manifest fetches the manifest and returns the digest that it must have: the
// reference's, or the one the registry gave for the tag.
func (s *schema1Images) manifest(ctx context.Context, spec reference.Spec, resolved ocispec.Descriptor) ([]byte, digest.Digest, error) {
	endpoints, err := s.registries.endpoints(spec, docker.HostCapabilityPull)
	if err != nil {
		return nil, "", err
	}
	object := manifestObject(spec)
	want := spec.Digest()
	if want == "" {
		want = resolved.Digest
	}
	accept := http.Header{"Accept": {v1compat.MediaTypeSchema1Signed + ", " + v1compat.MediaTypeSchema1 + ", */*"}}
	var errs []error
	for _, e := range endpoints {
		a, err := e.get(ctx, question{elements: []string{repository(spec), "manifests", object}, header: accept})
		switch {
		case err != nil:
			errs = append(errs, err)
		case a.status != http.StatusOK:
			errs = append(errs, fmt.Errorf("%s answers %d for the manifest", e.Host, a.status))
		case !isSchema1(a):
			return nil, "", errNotSchema1
		default:
			return a.body, want, nil
		}
	}
	return nil, "", errors.Join(errs...)
}

// isSchema1 reports whether an answer is a schema 1 manifest by its media type, or by
// its content if the registry is too old to send that type.
func isSchema1(a *answer) bool {
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err == nil && (mediaType == v1compat.MediaTypeSchema1Signed || mediaType == v1compat.MediaTypeSchema1) {
		return true
	}
	var m struct {
		SchemaVersion int `json:"schemaVersion"`
		FSLayers      []struct{}
	}
	return json.Unmarshal(a.body, &m) == nil && m.SchemaVersion == 1 && len(m.FSLayers) > 0
}

// manifestObject returns the digest to request, or else the tag.
func manifestObject(spec reference.Spec) string {
	if d := spec.Digest(); d != "" {
		return d.String()
	}
	return spec.Object
}
