package resolver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
)

// maxTagTime bounds the time spent on finding out whether only the tag is missing.
const maxTagTime = 5 * time.Second

// fallbackTag matches tags that clients routinely request in vain: those that stand
// in for referrers, and those of signatures.
var fallbackTag = regexp.MustCompile(`^[a-z0-9]+-[0-9a-f]{32,}`)

// missingTag turns a "not found" error into one that says that the repository exists,
// if the registry's list of tags shows that. It asks only registries that reported,
// in the terms of the distribution specification, an unknown manifest, and only for
// the beginning of the list.
func (r *registries) missingTag(ctx context.Context, spec reference.Spec, trail *certsd.Trail, err error) error {
	tag := spec.Object
	if !errdefs.IsNotFound(err) || r.options.V2Only || r.options.Begin || tag == "" || strings.Contains(tag, "@") || fallbackTag.MatchString(tag) || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTagTime)
	defer cancel()
	endpoints, eerr := r.endpoints(spec, docker.HostCapabilityPull|docker.HostCapabilityResolve)
	if eerr != nil {
		return err
	}
	for _, e := range endpoints {
		if unknownThere(trail, e.Host) && e.listsTags(ctx) {
			return &missingTagError{ref: spec.String(), tag: tag, err: err}
		}
	}
	return err
}

// unknownThere reports whether a host reported an unknown manifest.
func unknownThere(trail *certsd.Trail, host string) bool {
	return slices.ContainsFunc(trail.Attempts(), func(a certsd.Attempt) bool {
		return a.Host == host && a.Status == http.StatusNotFound && strings.Contains(a.URL, "/manifests/") && strings.Contains(a.Answer, "MANIFEST_UNKNOWN")
	})
}

// listsTags reports whether an endpoint lists any tags of the repository.
func (e *endpoint) listsTags(ctx context.Context) bool {
	a, err := e.get(ctx, question{elements: []string{repository(e.spec), "tags", "list"}, query: url.Values{"n": {"1"}}, limit: maxTagPage})
	if err != nil || a.status != http.StatusOK {
		return false
	}
	tags, err := tagsIn(a.body)
	return err == nil && len(tags) > 0
}

// missingTagError reports that a repository exists but lacks a tag.
type missingTagError struct {
	ref, tag string
	err      error
}

func (e *missingTagError) Error() string {
	return fmt.Sprintf("the repository is there, but has no tag %q: name another tag: %s", e.tag, strings.TrimPrefix(e.err.Error(), e.ref+": "))
}

func (e *missingTagError) Unwrap() error { return e.err }
