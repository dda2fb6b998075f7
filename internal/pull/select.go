package pull

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/choice"
)

// chosen is the selected part of the image that a reference names.
type chosen struct {
	// root will have the tag.
	root ocispec.Descriptor
	// made is the content of root if no registry has it: an index of the selected
	// platforms.
	made []byte
}

// choose selects the wanted platforms. It takes an index whole, or for one platform
// its manifest, or for several platforms a new index of theirs.
func (r *Request) choose(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) (chosen, error) {
	if !images.IsIndexType(desc.MediaType) || r.Platforms.All {
		return chosen{root: desc}, r.check(ctx, f, desc)
	}
	index, entries, err := choice.Flatten(ctx, f, desc)
	if err != nil {
		return chosen{}, fmt.Errorf("%s: %w", r.Ref, err)
	}
	var taken []ocispec.Descriptor
	for _, want := range r.Platforms.wanted() {
		at := choice.Best(want, entries)
		if at < 0 {
			return chosen{}, &MissingPlatformError{Ref: r.Ref.String(), Want: want, Has: choice.Names(entries)}
		}
		if !slices.ContainsFunc(taken, func(d ocispec.Descriptor) bool { return d.Digest == entries[at].Digest }) {
			taken = append(taken, entries[at])
		}
	}
	if len(taken) == 1 {
		return chosen{root: taken[0]}, nil
	}
	return indexOf(index, desc.MediaType, taken)
}

// indexOf creates an index of some of another's manifests.
func indexOf(index ocispec.Index, mediaType string, manifests []ocispec.Descriptor) (chosen, error) {
	index.MediaType = mediaType
	index.Manifests = manifests
	data, err := json.Marshal(index)
	if err != nil {
		return chosen{}, err
	}
	root := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return chosen{root: root, made: data}, nil
}

// write stores an index that was created.
func (c chosen) write(ctx context.Context, store content.Ingester) error {
	if c.made == nil {
		return nil
	}
	return content.WriteBlob(ctx, store, remotes.MakeRefKey(ctx, c.root), bytes.NewReader(c.made), c.root)
}

// check verifies that a single-platform image matches the platforms requested
// explicitly.
func (r *Request) check(ctx context.Context, f remotes.Fetcher, desc ocispec.Descriptor) error {
	if len(r.Platforms.Only) == 0 || !images.IsManifestType(desc.MediaType) {
		return nil
	}
	has, err := choice.PlatformOf(ctx, f, desc)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Ref, err)
	}
	for _, want := range r.Platforms.Only {
		if !platforms.Only(want).Match(has) {
			return &MissingPlatformError{Ref: r.Ref.String(), Want: want, Has: []string{platforms.Format(has)}}
		}
	}
	return nil
}
