package imagecopy

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
)

// Request says what to copy, and where to. References have containerd's form:
// HOST/NAME[:TAG][@DIGEST].
type Request struct {
	// Source is an image, or a repository if AllTags is set.
	Source string
	// Target is a tag, which is replaced if it names another image, or a repository,
	// which gets the tag of Source.
	Target string
	// AllTags copies all tags of a repository, or those that Match matches if it is
	// set.
	AllTags bool
	Match   *regexp.Regexp
	// Platform selects one of several images. nil copies all of them.
	Platform *platforms.Platform
	// Referrers also copies the referrers of an image, such as signatures.
	Referrers bool
	// DryRun sends nothing, and converts nothing.
	DryRun bool
}

// Validate checks the request before anything is sent. Errors are
// errdefs.ErrInvalidArgument.
func (r *Request) Validate() error {
	source, err := parse(r.Source)
	if err != nil {
		return fmt.Errorf("source %w", err)
	}
	target, err := parse(r.Target)
	if err != nil {
		return fmt.Errorf("target %w", err)
	}
	switch {
	case target.Digest() != "":
		return fmt.Errorf("target %q names a digest, but the image's own is what it will have: name a tag or none: %w", r.Target, errdefs.ErrInvalidArgument)
	case r.AllTags && source.Object != "":
		return fmt.Errorf("source %q names one image, and all tags are to be copied: %w", r.Source, errdefs.ErrInvalidArgument)
	case r.AllTags && target.Object != "":
		return fmt.Errorf("target %q names one tag, and all tags are to be copied: %w", r.Target, errdefs.ErrInvalidArgument)
	case !r.AllTags && source.Object == "":
		return fmt.Errorf("source %q names no tag: %w", r.Source, errdefs.ErrInvalidArgument)
	case !r.AllTags && r.Match != nil:
		return fmt.Errorf("tags are selected, but the source names one image: %w", errdefs.ErrInvalidArgument)
	case source.Digest() != "" && source.Digest().Validate() != nil:
		return fmt.Errorf("source %q: %w: %w", r.Source, source.Digest().Validate(), errdefs.ErrInvalidArgument)
	case source == r.withTag(target, source):
		return fmt.Errorf("source and target are the same, %q: %w", r.Source, errdefs.ErrInvalidArgument)
	default:
		return nil
	}
}

func parse(ref string) (reference.Spec, error) {
	spec, err := reference.Parse(ref)
	switch {
	case err != nil:
		return spec, fmt.Errorf("%q: %w: %w", ref, err, errdefs.ErrInvalidArgument)
	case repository(spec) == "":
		return spec, fmt.Errorf("%q names a registry and no repository: %w", ref, errdefs.ErrInvalidArgument)
	default:
		return spec, nil
	}
}

// repository returns the part of a reference after the registry.
func repository(spec reference.Spec) string {
	_, name, _ := strings.Cut(spec.Locator, "/")
	return name
}

// withTag returns the target, with the tag of the source if it has none.
func (r *Request) withTag(target, source reference.Spec) reference.Spec {
	if target.Object == "" && !r.AllTags {
		target.Object, _, _ = strings.Cut(source.Object, "@")
	}
	return target
}

// job is one image to copy.
type job struct {
	name           string
	source, target reference.Spec
}

// jobs lists the images to copy.
func (r *run) jobs(ctx context.Context) ([]job, error) {
	source, _ := reference.Parse(r.request.Source)
	target, _ := reference.Parse(r.request.Target)
	if !r.request.AllTags {
		target = r.request.withTag(target, source)
		j := job{name: target.Object, source: source, target: target}
		if j.name == "" {
			j.name = source.Digest().String()
		}
		return []job{j}, nil
	}
	tags, err := r.source.plain.Tags(ctx, r.request.Source)
	if err != nil {
		return nil, err
	}
	var jobs []job
	for _, tag := range tags {
		if r.request.Match != nil && !r.request.Match.MatchString(tag) {
			continue
		}
		j := job{name: tag, source: source, target: target}
		j.source.Object, j.target.Object = tag, tag
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return nil, r.request.nothing(len(tags))
	}
	return jobs, nil
}

// nothing returns the error for a source without any tag to copy.
func (r *Request) nothing(tags int) error {
	if tags == 0 || r.Match == nil {
		return fmt.Errorf("%s: the repository has no tags: %w", r.Source, errdefs.ErrNotFound)
	}
	return fmt.Errorf("%s: none of its %d tags matches %q: %w", r.Source, tags, r.Match, errdefs.ErrNotFound)
}
