package imageservice

import (
	"fmt"

	"github.com/distribution/reference"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// request is a request for an image of one of our registries.
type request struct {
	// asked is the full reference as requested; ref is CRI's form of it: with the
	// default registry and tag, and without a tag if there is a digest.
	asked, ref string
	named      reference.Named
	// registry is the registry in the reference.
	registry string
	auth     auth
	// handler is the pod's runtime handler, empty for the default.
	handler string
}

// flightKey identifies pulls that can share a download.
type flightKey struct {
	asked   string
	handler string
	auth    auth
}

func (r *request) key() flightKey { return flightKey{r.asked, r.handler, r.auth} }

// runtimeHandler is the annotation that clients used for the runtime handler before
// there was a field for it.
const runtimeHandler = "io.containerd.cri.runtime-handler"

// ours parses a request. It returns nil if containerd should answer it: the registry is
// not ours, or the reference is invalid, which CRI reports in its own words.
func (s *server) ours(m *runtime.PullImageRequest) (*request, error) {
	r, err := newRequest(m.GetImage().GetImage())
	if err != nil {
		return nil, nil //nolint:nilerr // CRI says it
	}
	if !s.options.All {
		own, err := s.hosts.Own(r.registry)
		if err != nil {
			return nil, fmt.Errorf("pull %s: %w", r.ref, err)
		}
		if own == nil {
			return nil, nil
		}
	}
	r.auth = authOf(m.GetAuth())
	r.handler = m.GetImage().GetRuntimeHandler()
	if r.handler == "" {
		r.handler = m.GetSandboxConfig().GetAnnotations()[runtimeHandler]
	}
	return r, nil
}

// newRequest parses a reference as CRI does.
func newRequest(image string) (*request, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, err
	}
	asked := reference.TagNameOnly(named)
	spelt, err := reference.ParseDockerRef(image)
	if err != nil {
		return nil, err
	}
	return &request{asked: asked.String(), ref: spelt.String(), named: spelt, registry: reference.Domain(spelt)}, nil
}

// names returns CRI's names for an image, in the order in which CRI creates them: its
// ID, the reference, and the name with the digest.
func (r *request) names(image pulledImage) []string {
	names := []string{image.ID, r.ref}
	if byDigest := r.named.Name() + "@" + image.Digest; byDigest != r.ref {
		names = append(names, byDigest)
	}
	return names
}
