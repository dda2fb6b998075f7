package resolver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

const (
	// maxTags bounds a list of tags. At 128 bytes each they take 13 MB.
	maxTags = 100_000
	// maxTagPages bounds the pages of a list. The smallest pages in use are Quay's,
	// with 50 tags.
	maxTagPages = 2000
	// maxTagKeys bounds the keys of an answer in addition to its tags.
	maxTagKeys = 100
	// maxTagPage bounds one answer in bytes: all tags at their longest, quoted, with
	// a comma. docker-registry 2 sends all of them at once.
	maxTagPage = maxTags * (128 + 3)
)

// tagRule is the grammar of tags in the distribution specification.
var tagRule = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Tags lists the tags of a repository, HOST/NAME, in alphabetical order. It asks the
// endpoints in order, as for resolving a tag, and believes the first that has a list.
// It asks Registry v1 where Resolve would. Invalid tags are omitted with a warning.
//
// The error is errdefs.ErrNotFound, ErrUnauthenticated or ErrPermissionDenied if the
// registry said so, and lists what was tried like Resolve's.
func (r *Resolver) Tags(ctx context.Context, repo string) ([]string, error) {
	spec, err := reference.Parse(repo)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", repo, err)
	}
	if spec.Object != "" || repository(spec) == spec.Hostname() {
		return nil, fmt.Errorf("%q is not HOST/NAME: %w", repo, errdefs.ErrInvalidArgument)
	}
	ctx, trail := account(certsd.WithRepository(ctx, repository(spec)))
	tags, err := r.registries.tags(r.registries.ahead(ctx, spec.Hostname()), spec)
	if errdefs.IsNotFound(err) || errors.As(err, new(*oddList)) {
		old, oerr := r.legacy.v1.tags(ctx, spec)
		switch {
		case !errors.Is(oerr, errNotRegistryV1):
			tags, err = old, oerr
		case errors.As(oerr, new(*V1UnaskedError)):
			err = fmt.Errorf("%w (%w)", err, oerr)
		}
	}
	if err != nil {
		return nil, explain(err, repo, trail)
	}
	return usableTags(spec, tags, r.hosts.Hooks.warn(spec.Hostname())), nil
}

// usableTags returns the tags sorted, each once, without invalid ones.
func usableTags(spec reference.Spec, tags []string, warn func(error)) []string {
	slices.Sort(tags)
	return slices.DeleteFunc(slices.Compact(tags), func(tag string) bool {
		if tagRule.MatchString(tag) {
			return false
		}
		if warn != nil {
			warn(fmt.Errorf("%s: its list of tags has %.140q, which is not a tag", spec.Locator, tag))
		}
		return true
	})
}

// tags asks the endpoints in order. The error is errdefs.ErrNotFound if all of them
// answer that.
func (r *registries) tags(ctx context.Context, spec reference.Spec) ([]string, error) {
	endpoints, err := r.endpoints(spec, docker.HostCapabilityPull|docker.HostCapabilityResolve)
	if err != nil {
		return nil, err
	}
	var absent, failed []error
	for _, e := range endpoints {
		tags, err := e.tags(ctx)
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

// tags reads the list of one endpoint, page by page.
func (e *endpoint) tags(ctx context.Context) ([]string, error) {
	l := &list{
		what:     "tags",
		first:    question{elements: []string{repository(e.spec), "tags", "list"}, limit: maxTagPage},
		maxPages: maxTagPages,
		maxBytes: 4 * maxTagPage,
	}
	var tags []string
	began := false
	err := e.read(ctx, l, func(a *answer) error {
		switch {
		case a.status == http.StatusNotFound && began:
			// This must not look like a repository that does not exist.
			return fmt.Errorf("%s answers %d %s for more of the list of tags", e.Host, a.status, http.StatusText(a.status))
		case a.status != http.StatusOK:
			return refusedList(e.Host, a.status)
		}
		began = true
		page, err := tagsIn(a.body)
		if err != nil {
			return fmt.Errorf("the answer of %s is not a list of tags: %w", e.Host, err)
		}
		if tags = append(tags, page...); len(tags) > maxTags {
			return fmt.Errorf("%s lists more than %d tags", e.Host, maxTags)
		}
		return nil
	})
	return tags, err
}

// tagsIn parses one answer. A repository without tags may have null for them.
func tagsIn(body []byte) ([]string, error) {
	var list struct {
		Name   *string         `json:"name"`
		Tags   []string        `json:"tags"`
		Errors json.RawMessage `json:"errors"`
	}
	if n := bytes.Count(body, []byte(",")); n > maxTags+maxTagKeys {
		return nil, fmt.Errorf("it has more than %d tags", maxTags)
	}
	err := json.Unmarshal(body, &list)
	if err == nil && (list.Errors != nil || list.Name == nil && list.Tags == nil) {
		err = errors.New("it has neither a name nor tags")
	}
	return list.Tags, jsonwords.Of(err)
}

// oddList is an error with a status that servers send for unknown routes.
type oddList struct{ error }

func (e *oddList) Unwrap() error { return e.error }

// refusedList returns the error for a status of a request for the list of tags.
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
	err := fmt.Errorf("%s answers %d %s for the list of tags: %w", host, status, http.StatusText(status), class)
	if oddStatus(status) {
		return &oddList{err}
	}
	return err
}
