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
	// maxReferrers is how many may refer to one manifest.
	maxReferrers = 10_000
	// maxReferrerPages and maxReferrerBytes bound the answers they are in.
	maxReferrerPages = 1000
	maxReferrerBytes = 16 << 20
)

// referrers lists what refers to a manifest: the distribution specification,
// "Listing Referrers". The endpoints are asked in their order, and the first
// that lists any is believed. That there are none is said only if all of them
// say so: nobody must take an image for unsigned because of a registry that is
// out of order.
func (r *Resolver) referrers(ctx context.Context, spec reference.Spec, subject digest.Digest, config *remotes.FetchReferrersConfig) ([]ocispec.Descriptor, error) {
	if err := subject.Validate(); err != nil {
		return nil, fmt.Errorf("%.80q: %w: %w", subject, err, errdefs.ErrInvalidArgument)
	}
	hosts, err := r.registryHosts(spec.Hostname())
	if err != nil {
		return nil, err
	}
	asked := false
	var errs []error
	for _, rh := range referrerHosts(hosts) {
		asked = true
		list, err := r.referrersOf(ctx, spec, rh, subject, config)
		if err == nil && len(list) > 0 {
			return list, nil
		}
		errs = append(errs, err)
	}
	if !asked {
		return nil, fmt.Errorf("no endpoint of %s may be asked for referrers, nor for tags in their place: "+
			"whether there are any is not known: %w", spec.Hostname(), errdefs.ErrUnavailable)
	}
	return []ocispec.Descriptor{}, errors.Join(errs...)
}

// referrerHosts are the endpoints that may be asked: those for referrers, and
// where there is none those for tags.
func referrerHosts(hosts []docker.RegistryHost) []docker.RegistryHost {
	for _, c := range []docker.HostCapabilities{docker.HostCapabilityReferrers, docker.HostCapabilityResolve} {
		able := slices.DeleteFunc(slices.Clone(hosts), func(rh docker.RegistryHost) bool { return !rh.Capabilities.Has(c) })
		if len(able) > 0 {
			return able
		}
	}
	return nil
}

// referrersOf asks one endpoint: its API, and if it has none the tag that stands
// for it.
func (r *Resolver) referrersOf(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, subject digest.Digest, config *remotes.FetchReferrersConfig) ([]ocispec.Descriptor, error) {
	list, there, err := r.referrersByAPI(ctx, spec, rh, subject, config)
	if err == nil && !there {
		list, err = r.referrersByTag(ctx, spec, rh, subject)
	}
	if err != nil || len(config.ArtifactTypes) == 0 {
		return list, err
	}
	// The registry may have done it, or not.
	var wanted []ocispec.Descriptor
	for _, d := range list {
		if d.ArtifactType == "" {
			// A registry must say it and some do not: the manifest does.
			m, err := r.referrer(ctx, spec, rh, d)
			if err != nil {
				return nil, err
			}
			d = m.describe(d)
		}
		if slices.Contains(config.ArtifactTypes, d.ArtifactType) {
			wanted = append(wanted, d)
		}
	}
	return wanted, nil
}

// referrersByAPI reads all pages. there is false if the endpoint answers 404,
// as one without the API does.
func (r *Resolver) referrersByAPI(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, subject digest.Digest, config *remotes.FetchReferrersConfig) (all []ocispec.Descriptor, there bool, err error) {
	query := url.Values{}
	maps.Copy(query, config.QueryFilters)
	if len(config.ArtifactTypes) > 0 {
		query["artifactType"] = config.ArtifactTypes
	}
	l := &list{
		what: "referrers",
		first: question{
			elements: []string{repository(spec), "referrers", subject.String()}, query: query,
			header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}},
		},
		maxPages: maxReferrerPages,
		maxBytes: maxReferrerBytes,
	}
	err = r.read(ctx, spec, rh, l, func(a *answer) error {
		switch {
		case a.status == http.StatusNotFound && !there:
			return errNoReferrersAPI
		case a.status != http.StatusOK:
			return a.unexpected()
		}
		there = true
		page, err := referrersIn(a.body)
		if err != nil {
			return fmt.Errorf("%s answers with no list of referrers: %w", rh.Host, err)
		}
		if all = append(all, page...); len(all) > maxReferrers {
			return fmt.Errorf("%s lists more than %d referrers", rh.Host, maxReferrers)
		}
		return nil
	})
	if errors.Is(err, errNoReferrersAPI) {
		err = nil
	}
	return all, there, err
}

var errNoReferrersAPI = errors.New("no referrers API")

// referrersIn reads an index of referrers. Anything else, such as the page of a
// login, is an error and no empty list.
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
		return nil, errors.New("it is no index")
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

// unexpected is the error of a status, as containerd has it.
func (a *answer) unexpected() error {
	return remoteserrors.ErrUnexpectedStatus{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Body: a.body[:min(len(a.body), maxCause)], RequestURL: a.url.String(), RequestMethod: http.MethodGet,
	}
}
