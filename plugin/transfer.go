package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"

	"github.com/certsd/containerd-certsd/internal/blobs"
)

// transferrer replaces registry sources and targets by ours and leaves the transfer
// itself to containerd.
type transferrer struct {
	stock    transfer.Transferrer
	settings *settings
	// content is containerd's own store: the pull finds what a conversion has written
	// there, under the same lease and namespace.
	content content.Store
}

var _ transfer.Transferrer = (*transferrer)(nil)

func newTransferrer(ic *plugin.InitContext, s *settings, stock any) (any, error) {
	t, ok := stock.(transfer.Transferrer)
	if !ok {
		return nil, fmt.Errorf("the transfer plugin is a %T", stock)
	}
	m, err := ic.GetSingle(plugins.MetadataPlugin)
	if err != nil {
		return nil, err
	}
	db, ok := m.(*metadata.DB)
	if !ok {
		return nil, fmt.Errorf("the metadata plugin is a %T", m)
	}
	return &transferrer{stock: t, settings: s, content: db.ContentStore()}, nil
}

// Transfer implements transfer.Transferrer.
func (t *transferrer) Transfer(ctx context.Context, src, dst any, opts ...transfer.Opt) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var config transfer.Config
	for _, opt := range opts {
		opt(&config)
	}
	src, err := t.exchange(ctx, src, sourceRole, config.Progress)
	if err != nil {
		return err
	}
	defer closeRemote(ctx, src)
	dst, err = t.exchange(ctx, dst, targetRole, config.Progress)
	if err != nil {
		return err
	}
	defer closeRemote(ctx, dst)
	if _, ok := src.(*remote); ok {
		dst = storing(dst)
	}
	return t.stock.Transfer(ctx, src, dst, opts...)
}

// exchange returns our remote for a registry, and anything else unchanged.
func (t *transferrer) exchange(ctx context.Context, side any, r role, progress transfer.ProgressFunc) (any, error) {
	stock, ok := side.(*registry.OCIRegistry)
	if !ok {
		return side, nil
	}
	req, err := readRequest(ctx, stock, wishesFrom(ctx, r))
	if err != nil {
		return nil, fmt.Errorf("reading the request for %s: %w", stock.Image(), err)
	}
	if err := req.wishes.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", stock.Image(), err), req.close())
	}
	return t.settings.remote(ctx, req, t.content, progress), nil
}

// storing wraps containerd's image store with [blobs.Handler].
func storing(dst any) any {
	s, ok := dst.(*image.Store)
	if !ok {
		return dst
	}
	return &imageStore{s}
}

type (
	stockStore = image.Store
	imageStore struct{ *stockStore }
)

var (
	_ transfer.ImageStorer   = (*imageStore)(nil)
	_ transfer.ImageFilterer = (*imageStore)(nil)
	_ transfer.ImageUnpacker = (*imageStore)(nil)
)

// ImageFilter implements transfer.ImageFilterer.
func (s *imageStore) ImageFilter(h images.HandlerFunc, store content.Store) images.HandlerFunc {
	return blobs.Handler(s.stockStore.ImageFilter(h, store), store)
}

// closeRemote closes the streams to the caller. A caller that is already gone does
// not fail the transfer.
func closeRemote(ctx context.Context, side any) {
	r, ok := side.(*remote)
	if !ok {
		return
	}
	if err := r.request.close(); err != nil {
		log.G(ctx).WithError(err).Debug("certsd: closing the caller's streams")
	}
}
