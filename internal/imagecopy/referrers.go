package imagecopy

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (r *run) referrers(ctx context.Context, img *image, root ocispec.Descriptor, item *Item) error {
	return nil
}
