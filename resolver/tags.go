package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
)

const (
	// maxTags is the longest list of tags. At 128 bytes each they take 13 MB.
	maxTags = 100_000
	// maxTagPages is how many answers the list may be in. The smallest pages in
	// use have 50 tags, those of Quay.
	maxTagPages = 2000
	// maxTagPage is the largest answer in bytes: all tags at their longest,
	// quoted, with a comma. docker-registry 2 sends all of them at once.
	maxTagPage = maxTags * (128 + 3)
)

// tagRule is what the distribution specification lets a tag be.
var tagRule = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Tags lists the tags of a repository, HOST/NAME, in alphabetical order. Its
// endpoints are asked in their order, as for resolving a tag, and the first
// that has a list is believed. Registry v1 is asked where Resolve would ask it.
// What is no tag is left out with a warning.
//
// The error is errdefs.ErrNotFound, ErrUnauthenticated or ErrPermissionDenied
// where the registry said so, and names what was tried as that of Resolve.
func (r *Resolver) Tags(ctx context.Context, repo string) ([]string, error) {
	spec, err := reference.Parse(repo)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", repo, err)
	}
	if spec.Object != "" || repository(spec) == spec.Hostname() {
		return nil, fmt.Errorf("%q is not HOST/NAME: %w", repo, errdefs.ErrInvalidArgument)
	}
	ctx, trail := certsd.WithTrail(certsd.WithRepository(ctx, repository(spec)))
	tags, err := r.tagsV2(r.ahead(ctx, spec.Hostname()), spec)
	if errdefs.IsNotFound(err) {
		if old, oerr := r.tagsV1(ctx, spec); !errors.Is(oerr, errNotRegistryV1) {
			tags, err = old, oerr
		}
	}
	if err != nil {
		return nil, explain(err, repo, trail)
	}
	return r.usableTags(spec, tags), nil
}

// usableTags are the tags sorted, each once, without what is none.
func (r *Resolver) usableTags(spec reference.Spec, tags []string) []string {
	slices.Sort(tags)
	return slices.DeleteFunc(slices.Compact(tags), func(tag string) bool {
		if tagRule.MatchString(tag) {
			return false
		}
		if warn := r.hosts.Hooks.warn(spec.Hostname()); warn != nil {
			warn(fmt.Errorf("%s: its list of tags has %.140q, which is none", spec.Locator, tag))
		}
		return true
	})
}

// tagsV2 asks the endpoints in order. The error is errdefs.ErrNotFound if all
// of them say so.
func (r *Resolver) tagsV2(ctx context.Context, spec reference.Spec) ([]string, error) {
	hosts, err := r.registryHosts(spec.Hostname())
	if err != nil {
		return nil, err
	}
	var absent, failed []error
	for _, rh := range hosts {
		if !rh.Capabilities.Has(docker.HostCapabilityPull | docker.HostCapabilityResolve) {
			continue
		}
		tags, err := r.tagsOf(ctx, spec, rh)
		switch {
		case err == nil:
			return tags, nil
		case errdefs.IsNotFound(err):
			absent = append(absent, err)
		default:
			failed = append(failed, err)
		}
	}
	switch {
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	case len(absent) > 0:
		return nil, errors.Join(absent...)
	default:
		return nil, fmt.Errorf("no endpoint of %s may be asked for tags: %w", spec.Hostname(), errdefs.ErrNotFound)
	}
}

// tagsOf reads the list of one endpoint, page by page.
func (r *Resolver) tagsOf(ctx context.Context, spec reference.Spec, rh docker.RegistryHost) ([]string, error) {
	var tags []string
	var query url.Values
	seen := map[string]bool{"": true}
	for range maxTagPages {
		page, next, err := r.tagPage(ctx, spec, rh, query)
		if err != nil {
			return nil, err
		}
		if tags = append(tags, page...); len(tags) > maxTags {
			return nil, fmt.Errorf("%s lists more than %d tags", rh.Host, maxTags)
		}
		if next == nil {
			return tags, nil
		}
		if seen[next.Encode()] {
			return nil, fmt.Errorf("%s lists the same tags again and again", rh.Host)
		}
		seen[next.Encode()] = true
		query = next
	}
	return nil, fmt.Errorf("%s lists tags on more than %d pages", rh.Host, maxTagPages)
}

// tagPage reads one answer and the query that leads to the next, nil after the
// last one.
func (r *Resolver) tagPage(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, query url.Values) (tags []string, next url.Values, err error) {
	a, err := r.get(ctx, spec, rh, question{elements: []string{repository(spec), "tags", "list"}, query: query, limit: maxTagPage})
	if err != nil {
		return nil, nil, err
	}
	if a.status != http.StatusOK {
		return nil, nil, refusedList(rh.Host, a.status)
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		return nil, nil, fmt.Errorf("%s answers with no list of tags: %w", rh.Host, err)
	}
	next, err = nextPage(a.header)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", rh.Host, err)
	}
	return list.Tags, next, nil
}

// refusedList tells what a status says about the list of tags.
func refusedList(host string, status int) error {
	var class error = errdefs.ErrUnknown
	switch status {
	case http.StatusNotFound:
		class = errdefs.ErrNotFound
	case http.StatusUnauthorized:
		class = errdefs.ErrUnauthenticated
	case http.StatusForbidden:
		class = errdefs.ErrPermissionDenied
	}
	return fmt.Errorf("%s answers %d %s for the list of tags: %w", host, status, http.StatusText(status), class)
}

// nextPage reads RFC 8288's Link as the distribution specification has it:
// </v2/NAME/tags/list?n=N&last=TAG>; rel="next". Only its query counts:
// registries behind a proxy write other schemes and hosts into it than the ones
// they are reached by, and no list leads to another host.
func nextPage(header http.Header) (url.Values, error) {
	for _, line := range header.Values("Link") {
		for link := range strings.SplitSeq(line, "<") {
			target, parameters, ok := strings.Cut(link, ">")
			if !ok || !isNext(parameters) {
				continue
			}
			u, err := url.Parse(target)
			if err != nil {
				return nil, errors.New("the link to the next tags is no URL")
			}
			query, err := url.ParseQuery(u.RawQuery)
			if err != nil {
				return nil, errors.New("the link to the next tags has a query that is none")
			}
			return query, nil
		}
	}
	return nil, nil
}

func isNext(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") && strings.EqualFold(strings.Trim(value, "\", "), "next") {
			return true
		}
	}
	return false
}

// tagsV1 asks in the v1 protocol, where that may be.
func (r *Resolver) tagsV1(ctx context.Context, spec reference.Spec) ([]string, error) {
	rh, err := r.v1Endpoint(ctx, spec)
	if err != nil {
		return nil, err
	}
	tags, err := r.v1Client(spec, rh).Tags(ctx, repository(spec))
	if err != nil {
		return nil, err
	}
	return slices.Collect(maps.Keys(tags)), nil
}
