// Package choice finds the image for a platform in an index, for pulling, copying and
// checking.
package choice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/internal/manifest"
)

const (
	// maxEntries and maxDepth bound what indexes refer to.
	maxEntries = 1000
	maxDepth   = 4
	// maxConfigs bounds how many configurations are read to learn the platforms of
	// images.
	maxConfigs = 64
)

// Host returns the platform whose images run here. On a Mac they run in a Linux VM.
func Host() ocispec.Platform {
	p := platforms.DefaultSpec()
	if runtime.GOOS != "windows" {
		p.OS = "linux"
	}
	return p
}

// Flatten reads an index and those it refers to, and returns the index itself and the
// manifests of all. Where an index omits a manifest's platform, which is optional,
// Flatten fills in the one in its configuration.
func Flatten(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) (ocispec.Index, []ocispec.Descriptor, error) {
	var top ocispec.Index
	var entries []ocispec.Descriptor
	level := []ocispec.Descriptor{desc}
	for depth := 0; len(level) > 0; depth++ {
		if depth == maxDepth {
			return top, nil, fmt.Errorf("indexes within indexes, more than %d deep", maxDepth)
		}
		var deeper []ocispec.Descriptor
		for _, d := range level {
			body, index, err := ReadManifest(ctx, f, d)
			if err != nil {
				return top, nil, err
			}
			if depth == 0 {
				if err := json.Unmarshal(body, &top); err != nil {
					return top, nil, fmt.Errorf("%s: %w", desc.Digest, jsonwords.Of(err))
				}
			}
			for _, m := range index.Manifests {
				if manifest.KindOf(m.MediaType) == manifest.Index {
					deeper = append(deeper, m)
				} else {
					entries = append(entries, m)
				}
			}
			if len(entries)+len(deeper) > maxEntries {
				return top, nil, fmt.Errorf("an index of more than %d images", maxEntries)
			}
		}
		level = deeper
	}
	return top, entries, fill(ctx, f, entries)
}

// fill adds the platforms that entries omit.
func fill(ctx context.Context, f remotes.Fetcher, entries []ocispec.Descriptor) error {
	read := 0
	for i, e := range entries {
		if e.Platform != nil || manifest.KindOf(e.MediaType) != manifest.Image {
			continue
		}
		if read++; read > maxConfigs {
			return fmt.Errorf("an index of more than %d images that name no platform", maxConfigs)
		}
		p, err := PlatformOf(ctx, f, e)
		if err != nil {
			return err
		}
		if p.OS != "" || p.Architecture != "" {
			entries[i].Platform = &p
		}
	}
	return nil
}

// PlatformOf reads the platform of an image from its configuration. It is the zero
// value for an artifact, which has no such configuration.
func PlatformOf(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) (ocispec.Platform, error) {
	var has ocispec.Platform
	_, m, err := ReadManifest(ctx, f, desc)
	if err != nil {
		return has, fmt.Errorf("manifest: %w", err)
	}
	if m.Config == nil {
		return has, nil
	}
	body, err := ReadDocument(ctx, f, *m.Config)
	if err != nil {
		return has, fmt.Errorf("configuration: %w", err)
	}
	if json.Unmarshal(body, &has) != nil || has.OS == "" && has.Architecture == "" {
		return ocispec.Platform{}, nil
	}
	return platforms.Normalize(has), nil
}

// Best returns the entry that fits a platform best, -1 if none does.
func Best(want ocispec.Platform, entries []ocispec.Descriptor) int {
	matcher := platforms.Only(want)
	found := -1
	for i, e := range entries {
		if e.Platform == nil || !matcher.Match(*e.Platform) {
			continue
		}
		if found < 0 || matcher.Less(*e.Platform, *entries[found].Platform) {
			found = i
		}
	}
	return found
}

// Names returns the platforms of entries.
func Names(entries []ocispec.Descriptor) []string {
	var list []string
	for _, e := range entries {
		if e.Platform != nil && e.Platform.OS != "unknown" {
			list = append(list, platforms.Format(*e.Platform))
		}
	}
	return list
}

// MissingPlatformError reports that an image is not available for a platform.
type MissingPlatformError struct {
	// Ref is the image, Want the platform.
	Ref  string
	Want ocispec.Platform
	// Has are the platforms that it is available for.
	Has []string
}

// Error names the image and the platforms that it is available for.
func (e *MissingPlatformError) Error() string {
	has := "an unnamed platform"
	if len(e.Has) > 0 {
		has = strings.Join(e.Has, ", ")
	}
	return fmt.Sprintf("%s is not available for %s, only for %s: choose with --platform, or take --all-platforms",
		e.Ref, platforms.Format(e.Want), has)
}

// ReadManifest fetches a manifest and verifies its digest.
func ReadManifest(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) ([]byte, *manifest.Manifest, error) {
	body, err := ReadDocument(ctx, f, desc)
	if err != nil {
		return nil, nil, err
	}
	m, err := manifest.Parse(body, desc.MediaType)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", desc.Digest, err)
	}
	return body, m, nil
}

// ReadDocument fetches a manifest or a configuration and verifies its digest.
func ReadDocument(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size < 0 || desc.Size > manifest.MaxSize {
		return nil, fmt.Errorf("%s of %d bytes, more than the %d of the largest that is read", desc.Digest, desc.Size, manifest.MaxSize)
	}
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(rc, manifest.MaxSize+1))
	if err := errors.Join(err, rc.Close()); err != nil {
		return nil, err
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return nil, &DigestError{Want: desc.Digest, Got: got}
	}
	return data, nil
}

// DigestError reports that content does not match its digest.
type DigestError struct {
	// Want is the digest that was requested, Got that of the content received, empty if
	// unknown.
	Want, Got digest.Digest
}

// Error names both digests.
func (e *DigestError) Error() string {
	what := "something else"
	if e.Got != "" {
		what = e.Got.String()
	}
	return fmt.Sprintf("asked for %s the server sent %s: it was not kept: ask the registry's owner, or try another mirror", e.Want, what)
}
