package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

const (
	// maxTagged is how many referrers a tag may list, as each one's manifest is read.
	maxTagged = 1000
	// referrersAtATime is how many are read concurrently.
	referrersAtATime = 4
	// The maximum lengths of the parts of a digest in such a tag: the distribution
	// specification, "Referrers Tag Schema".
	maxTagAlgorithm = 32
	maxTagEncoded   = 64
)

// ReferrersTag returns the tag that lists the referrers of a manifest in registries
// without the referrers API.
func ReferrersTag(subject digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(subject.String(), ":")
	cut := func(part string, n int) string {
		part = strings.Map(func(c rune) rune {
			if c == '_' || c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				return c
			}
			return '-'
		}, part)
		return part[:min(len(part), n)]
	}
	return cut(algorithm, maxTagAlgorithm) + "-" + cut(encoded, maxTagEncoded)
}

// byTag reads the list from a tagged image index. The tag may be anything: the image
// itself, or a list for another digest with the same beginning. So byTag reads the
// listed manifests, and believes those that name the subject. It warns about
// everything it omits.
func (r *referrers) byTag(ctx context.Context, e *endpoint) ([]ocispec.Descriptor, error) {
	tag := ReferrersTag(r.subject)
	a, err := e.get(ctx, question{
		elements: []string{repository(e.spec), "manifests", tag},
		header:   http.Header{"Accept": {ocispec.MediaTypeImageIndex + ", */*"}},
	})
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		return nil, nil
	case a.status != http.StatusOK:
		return nil, a.unexpected()
	case r.subject.Algorithm().FromBytes(a.body) == r.subject:
		r.leftOut(e.spec, "", errors.New("is the image itself, not a list of referrers"))
		return nil, nil
	}
	listed, err := referrersIn(a.body)
	switch {
	case err != nil && isManifest(a.body):
		// An unrelated image or artifact whose tag looks like a referrers tag.
		r.leftOut(e.spec, "", fmt.Errorf("lists no referrers: %w", err))
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the answer of %s for the tag %s is not a list of referrers: %w", e.Host, tag, err)
	case len(listed) > maxTagged:
		return nil, fmt.Errorf("%s: the tag %s lists more than %d referrers", e.Host, tag, maxTagged)
	}
	return r.thoseOf(ctx, e, listed)
}

// isManifest reports whether a body is a manifest of any kind, as opposed to an
// error document.
func isManifest(body []byte) bool {
	var m struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Errors        json.RawMessage `json:"errors"`
	}
	return json.Unmarshal(body, &m) == nil && m.Errors == nil && (m.SchemaVersion > 0 || m.MediaType != "")
}

// thoseOf returns the listed manifests that do refer to the subject.
func (r *referrers) thoseOf(ctx context.Context, e *endpoint, listed []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	found := make([]*referrer, len(listed))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(referrersAtATime)
	for i, d := range listed {
		group.Go(func() (err error) {
			found[i], err = e.referrer(gctx, d)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	for i, m := range found {
		switch {
		case m == nil:
			r.leftOut(e.spec, listed[i].Digest, errors.New("is listed but missing"))
		case m.Subject == nil || m.Subject.Digest != r.subject:
			r.leftOut(e.spec, listed[i].Digest, fmt.Errorf("is listed but does not refer to %s", r.subject))
		default:
			all = append(all, m.describe(listed[i]))
		}
	}
	return all, nil
}

// referrer is the part of a manifest that describes it as a referrer.
type referrer struct {
	MediaType    string              `json:"mediaType"`
	ArtifactType string              `json:"artifactType"`
	Subject      *ocispec.Descriptor `json:"subject"`
	Annotations  map[string]string   `json:"annotations"`
	Config       struct {
		MediaType string `json:"mediaType"`
	} `json:"config"`
}

// describe completes a descriptor as a registry would.
func (m *referrer) describe(d ocispec.Descriptor) ocispec.Descriptor {
	if m == nil {
		return d
	}
	if d.ArtifactType == "" {
		d.ArtifactType = m.ArtifactType
	}
	if d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	if d.Annotations == nil {
		d.Annotations = m.Annotations
	}
	return d
}

// referrer reads a listed manifest; it returns nil if that does not exist.
func (e *endpoint) referrer(ctx context.Context, d ocispec.Descriptor) (*referrer, error) {
	accept := "*/*"
	if d.MediaType != "" {
		accept = d.MediaType + ", */*"
	}
	a, err := e.get(ctx, question{
		elements: []string{repository(e.spec), "manifests", d.Digest.String()},
		header:   http.Header{"Accept": {accept}},
	})
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		return nil, nil
	case a.status != http.StatusOK:
		return nil, a.unexpected()
	case d.Digest.Algorithm().FromBytes(a.body) != d.Digest:
		return nil, fmt.Errorf("%s sends other content than %s", e.Host, d.Digest)
	}
	var m referrer
	if err := json.Unmarshal(a.body, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, jsonwords.Of(err))
	}
	return &m, nil
}

// leftOut warns about content under the referrers tag that is omitted.
func (r *referrers) leftOut(spec reference.Spec, what digest.Digest, why error) {
	if r.warn == nil {
		return
	}
	name := spec.Locator + ":" + ReferrersTag(r.subject)
	if what != "" {
		name += ": " + what.String()
	}
	r.warn(fmt.Errorf("%s %w", name, why))
}
