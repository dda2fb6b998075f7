package imageservice

import (
	"fmt"

	"github.com/distribution/reference"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// request is an image that is wanted, of a registry that is ours.
type request struct {
	// asked is the reference as it was asked for, ref as CRI spells it: with the
	// default registry and tag, and without a tag where there is a digest.
	asked, ref string
	named      reference.Named
	// registry is the registry in it.
	registry string
	auth     auth
	// handler is the pod's runtime handler, empty for the default.
	handler string
}

// flightKey is what pulls have in common that can share a download.
type flightKey struct {
	asked   string
	handler string
	auth    auth
}

func (r *request) key() flightKey { return flightKey{r.asked, r.handler, r.auth} }

// runtimeHandler is the annotation with the runtime handler that clients set
// before there was a field for it.
const runtimeHandler = "io.containerd.cri.runtime-handler"

// ours takes a request apart, nil if it is for others to answer: the registry is
// not ours, or the reference is none, for which CRI has its own words.
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

// newRequest reads a reference as CRI does.
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

// names returns what CRI calls an image, in the order in which CRI gives them: by its ID,
// as it was asked for, and by digest.
func (r *request) names(image pulledImage) []string {
	names := []string{image.ID, r.ref}
	if byDigest := r.named.Name() + "@" + image.Digest; byDigest != r.ref {
		names = append(names, byDigest)
	}
	return names
}
