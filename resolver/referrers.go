package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/internal/manifest"
)

const (
	// maxReferrers is how many manifests may refer to another.
	maxReferrers = 10_000
	// maxReferrerPages and maxReferrerBytes bound the lists of referrers.
	maxReferrerPages = 1000
	maxReferrerBytes = 16 << 20
)

// referrers lists the referrers of a manifest: see the distribution specification,
// "Listing Referrers".
type referrers struct {
	subject digest.Digest
	config  *remotes.FetchReferrersConfig
	// warn, if not nil, is called for each omission.
	warn func(error)
}

// list asks the endpoints in order and believes the first that lists any. It returns
// an empty list only if all of them report none: nobody must consider an image
// unsigned because a registry is out of order.
func (r *referrers) list(ctx context.Context, registries *registries, spec reference.Spec) ([]ocispec.Descriptor, error) {
	if err := r.subject.Validate(); err != nil {
		return nil, fmt.Errorf("%.80q: %w: %w", r.subject, err, errdefs.ErrInvalidArgument)
	}
	endpoints, err := registries.forReferrers(spec)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range endpoints {
		list, err := r.of(ctx, e)
		if err == nil && len(list) > 0 {
			return list, nil
		}
		errs = append(errs, err)
	}
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("no endpoint of %s may be asked for referrers or for the tags that replace them: "+
			"whether there are any is not known: %w", spec.Hostname(), errdefs.ErrUnavailable)
	}
	return []ocispec.Descriptor{}, errors.Join(errs...)
}

// forReferrers returns the endpoints that may be asked: those with the capability for
// referrers, or if there are none, those for tags.
func (r *registries) forReferrers(spec reference.Spec) ([]*endpoint, error) {
	able, err := r.endpoints(spec, docker.HostCapabilityReferrers)
	if err != nil || len(able) > 0 {
		return able, err
	}
	return r.endpoints(spec, docker.HostCapabilityResolve)
}

// of asks one endpoint: its referrers API, or else the tag that replaces it.
func (r *referrers) of(ctx context.Context, e *endpoint) ([]ocispec.Descriptor, error) {
	list, there, err := r.byAPI(ctx, e)
	if err == nil && !there {
		list, err = r.byTag(ctx, e)
	}
	if err != nil || len(r.config.ArtifactTypes) == 0 {
		return list, err
	}
	// The registry may have filtered the list, or not.
	var wanted []ocispec.Descriptor
	for _, d := range list {
		if d.ArtifactType == "" {
			// The registry must report the artifact type, but some do not; it is in
			// the manifest.
			m, err := e.referrer(ctx, d)
			if err != nil {
				return nil, err
			}
			d = m.describe(d)
		}
		if slices.Contains(r.config.ArtifactTypes, d.ArtifactType) {
			wanted = append(wanted, d)
		}
	}
	return wanted, nil
}

// byAPI reads all pages. there is false if the endpoint answers 404, as it does
// without the API.
func (r *referrers) byAPI(ctx context.Context, e *endpoint) (all []ocispec.Descriptor, there bool, err error) {
	query := url.Values{}
	maps.Copy(query, r.config.QueryFilters)
	if len(r.config.ArtifactTypes) > 0 {
		query["artifactType"] = r.config.ArtifactTypes
	}
	l := &list{
		what: "referrers",
		first: question{
			elements: []string{repository(e.spec), "referrers", r.subject.String()}, query: query,
			header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}},
		},
		maxPages: maxReferrerPages,
		maxBytes: maxReferrerBytes,
	}
	err = e.read(ctx, l, func(a *answer) error {
		switch {
		case a.status == http.StatusNotFound && !there:
			return errNoReferrersAPI
		case a.status != http.StatusOK:
			return a.unexpected()
		}
		there = true
		page, err := referrersIn(a.body)
		if err != nil {
			return fmt.Errorf("the answer of %s is not a list of referrers: %w", e.Host, err)
		}
		if all = append(all, page...); len(all) > maxReferrers {
			return fmt.Errorf("%s lists more than %d referrers", e.Host, maxReferrers)
		}
		return nil
	})
	if errors.Is(err, errNoReferrersAPI) {
		err = nil
	}
	return all, there, err
}

var errNoReferrersAPI = errors.New("no referrers API")

// referrersIn parses an index of referrers. Anything else, such as a login page, is
// an error rather than an empty list.
func referrersIn(body []byte) ([]ocispec.Descriptor, error) {
	var index struct {
		MediaType string                `json:"mediaType"`
		Manifests *[]ocispec.Descriptor `json:"manifests"`
		Config    json.RawMessage       `json:"config"`
		Errors    json.RawMessage       `json:"errors"`
	}
	if err := manifest.Countable(body); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, jsonwords.Of(err)
	}
	isIndex := images.IsIndexType(index.MediaType)
	switch {
	case index.MediaType != "" && !isIndex, index.Errors != nil, index.Config != nil, index.Manifests == nil && !isIndex:
		return nil, errors.New("it is not an index")
	case index.Manifests == nil:
		return nil, nil
	}
	for _, d := range *index.Manifests {
		if err := d.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("it lists %.100q: %w", d.Digest, err)
		}
		if d.Size < 0 {
			return nil, fmt.Errorf("it lists %s with a size of %d", d.Digest, d.Size)
		}
	}
	return *index.Manifests, nil
}

// unexpected returns containerd's error for a status.
func (a *answer) unexpected() error {
	return remoteserrors.ErrUnexpectedStatus{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Body: a.body[:min(len(a.body), maxCause)], RequestURL: a.url.String(), RequestMethod: http.MethodGet,
	}
}
