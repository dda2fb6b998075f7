// Package pull pulls images from registries to where people want them: into an OCI
// image layout, or into containerd. It does the work of "certsd pull".
//
// Read pull.go first, then select.go, which selects from an index, for the platforms
// of platform.go. layout.go writes an image layout, with Docker's manifests turned
// into OCI's by ociform.go; containerd.go pulls into containerd. progress.go reports
// the progress of layers.
package pull

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/resolver"
)

// maxDownloads is how many blobs are fetched at the same time, as in containerd.
const maxDownloads = 3

// Request describes the image to pull.
type Request struct {
	// Ref names the image.
	Ref imageref.Ref
	// Hosts holds the registries. nil means resolver.DefaultHosts.
	Hosts *resolver.Hosts
	// Credentials is for the registry; see resolver.Options. nil means anonymous.
	Credentials func(host string) (user, secret string, err error)
	// Platforms selects from a multi-platform image.
	Platforms Platforms
	// PreserveDigests keeps Docker's manifests, and thus their digests, in a layout.
	// Otherwise they become OCI's, unless Ref has a digest: see ociForm.
	PreserveDigests bool
	// Progress reports the progress of layers. It may be nil.
	Progress *progress.Reporter
}

// Result is a pulled image.
type Result struct {
	// Target has the tag now: the image's manifest or index.
	Target ocispec.Descriptor
	// Resolved has the tag in the registry. It differs from Target if some of several
	// platforms were selected, or Docker's manifest became OCI's.
	Resolved ocispec.Descriptor
}

// InterruptedError reports a pull that can be continued.
type InterruptedError struct {
	// Dir holds what has arrived; it is empty if nothing has.
	Dir string
	// Canceled reports whether the context ended the pull.
	Canceled bool
	// Err is what ended the pull.
	Err error
}

// Error says how to continue.
func (e *InterruptedError) Error() string {
	text := "interrupted"
	if !e.Canceled {
		text = e.Err.Error()
	}
	if e.Dir == "" {
		return text + ": nothing is complete: run the same command again"
	}
	return text + fmt.Sprintf("\n-> what has arrived is kept in %s: run the same command again to go on from there", e.Dir)
}

// Unwrap returns what ended the pull.
func (e *InterruptedError) Unwrap() error { return e.Err }

// resolver returns the resolver for a pull into a store.
func (r *Request) resolver(store content.Store, w *watch) *watched {
	inner := resolver.New(resolver.Options{
		Hosts:       r.Hosts,
		Credentials: r.Credentials,
		Store:       store,
		OnProgress:  w.conversion,
	})
	return &watched{Resolver: inner, watch: w}
}

// watched is a resolver that reports the progress of layers.
type watched struct {
	*resolver.Resolver
	watch *watch
}

var _ remotes.ResolverWithOptions = (*watched)(nil)

// Fetcher implements remotes.Resolver.
func (r *watched) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	inner, err := r.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r.watch.fetcher(inner), nil
}
