package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDocument bounds manifests, indexes and configurations in bytes, as
	// registries do.
	maxDocument = 4 << 20
	// maxEntries and maxDepth bound what indexes refer to.
	maxEntries = 1000
	maxDepth   = 4
)

// choice is what is taken of what a reference leads to.
type choice struct {
	// root is what will carry the tag.
	root ocispec.Descriptor
	// made is the content of root, where no registry has it: an index of the
	// platforms that were asked for.
	made []byte
}

// choose takes the platforms that are wanted. An index is taken whole, or for
// one platform the manifest it has for that, or for several a new index of
// theirs.
func (r *Request) choose(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) (choice, error) {
	if !images.IsIndexType(desc.MediaType) || r.Platforms.All {
		return choice{root: desc}, r.check(ctx, f, desc)
	}
	index, entries, err := flatten(ctx, f, desc)
	if err != nil {
		return choice{}, fmt.Errorf("%s: %w", r.Ref, err)
	}
	var taken []ocispec.Descriptor
	for _, want := range r.Platforms.wanted() {
		at := best(want, entries)
		if at < 0 {
			return choice{}, &MissingPlatformError{Ref: r.Ref.String(), Want: want, Has: names(entries)}
		}
		if !slices.ContainsFunc(taken, func(d ocispec.Descriptor) bool { return d.Digest == entries[at].Digest }) {
			taken = append(taken, entries[at])
		}
	}
	if len(taken) == 1 {
		return choice{root: taken[0]}, nil
	}
	return indexOf(index, desc.MediaType, taken)
}

// flatten reads an index with those it refers to.
func flatten(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) (ocispec.Index, []ocispec.Descriptor, error) {
	var top ocispec.Index
	var entries []ocispec.Descriptor
	level := []ocispec.Descriptor{desc}
	for depth := 0; len(level) > 0; depth++ {
		if depth == maxDepth {
			return top, nil, fmt.Errorf("indexes within indexes, more than %d deep", maxDepth)
		}
		var deeper []ocispec.Descriptor
		for _, d := range level {
			var index ocispec.Index
			if err := readDocument(ctx, f, d, &index); err != nil {
				return top, nil, err
			}
			if depth == 0 {
				top = index
			}
			for _, m := range index.Manifests {
				if images.IsIndexType(m.MediaType) {
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
	return top, entries, nil
}

// readDocument fetches a small JSON document and holds it to its digest.
func readDocument(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor, into any) error {
	if desc.Size < 0 || desc.Size > maxDocument {
		return fmt.Errorf("%s of %d bytes, more than the %d of the largest that is read", desc.Digest, desc.Size, maxDocument)
	}
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", desc.Digest, err)
	}
	rc, err := f.Fetch(ctx, desc)
	if err != nil {
		return err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, maxDocument+1))
	if err != nil {
		return err
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return &DigestError{Want: desc.Digest, Got: got}
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	return nil
}

// DigestError is content that is not what its digest says.
type DigestError struct {
	// Want is the digest that was asked for, Got that of what came; it may be
	// empty.
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

// indexOf makes an index of some of another's manifests.
func indexOf(index ocispec.Index, mediaType string, manifests []ocispec.Descriptor) (choice, error) {
	index.MediaType = mediaType
	index.Manifests = manifests
	data, err := json.Marshal(index)
	if err != nil {
		return choice{}, err
	}
	root := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return choice{root: root, made: data}, nil
}

// write puts an index that was made into the store.
func (c choice) write(ctx context.Context, store content.Ingester) error {
	if c.made == nil {
		return nil
	}
	return content.WriteBlob(ctx, store, remotes.MakeRefKey(ctx, c.root), bytes.NewReader(c.made), c.root)
}

// check holds an image that is there for one platform only to those that were
// asked for.
func (r *Request) check(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) error {
	if len(r.Platforms.Only) == 0 || !images.IsManifestType(desc.MediaType) {
		return nil
	}
	var m ocispec.Manifest
	if err := readDocument(ctx, f, desc, &m); err != nil {
		return fmt.Errorf("%s: manifest: %w", r.Ref, err)
	}
	var has ocispec.Platform
	if err := readDocument(ctx, f, m.Config, &has); err != nil {
		return fmt.Errorf("%s: configuration: %w", r.Ref, err)
	}
	has = platforms.Normalize(has)
	for _, want := range r.Platforms.Only {
		if !platforms.Only(want).Match(has) {
			return &MissingPlatformError{Ref: r.Ref.String(), Want: want, Has: []string{platforms.Format(has)}}
		}
	}
	return nil
}
