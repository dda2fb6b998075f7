package main

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
)

// goarch is the architecture of the images made here.
const goarch = runtime.GOARCH

// pullLayout pulls an image into an OCI image layout. The layout's index names
// the image only once all of it is there.
func pullLayout(ctx context.Context, r remotes.Resolver, ref, dir string) (ocispec.Descriptor, error) {
	name, desc, err := r.Resolve(ctx, ref)
	if err != nil {
		return desc, err
	}
	fetcher, err := r.Fetcher(ctx, name)
	if err != nil {
		return desc, err
	}
	layout, err := oci.NewWithContext(ctx, dir)
	if err != nil {
		return desc, fmt.Errorf("%s: %w", dir, err)
	}
	if err := oras.CopyGraph(ctx, source{fetcher}, layout, desc, oras.DefaultCopyGraphOptions); err != nil {
		return desc, err
	}
	return desc, layout.Tag(ctx, desc, ref)
}

// source is a fetcher as oras-go reads it.
type source struct{ fetcher remotes.Fetcher }

// Fetch implements content.Fetcher.
func (s source) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	return s.fetcher.Fetch(ctx, desc)
}

// Exists implements content.ReadOnlyStorage: what a manifest names is there, or
// fetching it tells.
func (s source) Exists(context.Context, ocispec.Descriptor) (bool, error) { return true, nil }
