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

// chosen is what is taken of what a reference leads to.
type chosen struct {
	// root is what will carry the tag.
	root ocispec.Descriptor
	// made is the content of root, where no registry has it: an index of the
	// platforms that were asked for.
	made []byte
}

// choose takes the platforms that are wanted. An index is taken whole, or for
// one platform the manifest it has for that, or for several a new index of
// theirs.
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

// indexOf makes an index of some of another's manifests.
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

// write puts an index that was made into the store.
func (c chosen) write(ctx context.Context, store content.Ingester) error {
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
