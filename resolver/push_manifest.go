package resolver

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
)

// PushManifest pushes a manifest of any media type to the tag of a reference, or else
// to its digest. It returns the digest under which the registry stored the manifest,
// or the manifest's own if the registry does not say. The algorithm may differ from
// the reference's, but the push fails unless the digest matches the manifest.
func (r *Resolver) PushManifest(ctx context.Context, ref, mediaType string, body []byte) (digest.Digest, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return "", err
	}
	ctx, trail := certsd.WithTrail(withoutCooldown(certsd.WithRepository(discreet.Context(ctx), repository(spec))))
	known, err := r.registries.pushManifest(ctx, spec, mediaType, body)
	return known, explain(err, ref, trail)
}

func (r *registries) pushManifest(ctx context.Context, spec reference.Spec, mediaType string, body []byte) (digest.Digest, error) {
	e, err := r.toPush(spec)
	if err != nil {
		return "", err
	}
	object := tagOrDigest(spec)
	resp, err := e.exchange(ctx, question{
		method: http.MethodPut, elements: []string{repository(spec), "manifests", object},
		header: http.Header{"Content-Type": {mediaType}}, body: body,
	})
	if err != nil {
		return "", err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
	default:
		return "", unexpected(resp)
	}
	_ = resp.Body.Close()
	return knownAs(resp.Header.Get("Docker-Content-Digest"), object, body)
}

// knownAs returns the digest in an answer, and fails if it does not match the body.
func knownAs(answered, object string, body []byte) (digest.Digest, error) {
	if answered == "" {
		if d, err := digest.Parse(object); err == nil {
			return d, nil
		}
		return digest.FromBytes(body), nil
	}
	d, err := digest.Parse(answered)
	if err != nil {
		return "", fmt.Errorf("the registry answered the push with the digest %.100q: %w", answered, err)
	}
	if got := d.Algorithm().FromBytes(body); got != d {
		return "", fmt.Errorf("the registry answered the push with the digest %s, but the manifest is %s", d, got)
	}
	return d, nil
}

// tagOrDigest returns the tag of a reference, or else its digest.
func tagOrDigest(spec reference.Spec) string {
	if tag, _, _ := strings.Cut(spec.Object, "@"); tag != "" {
		return tag
	}
	return spec.Digest().String()
}
