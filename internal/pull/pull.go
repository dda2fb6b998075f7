// Package pull brings images from registries to where people want them: into
// an OCI image layout, or into containerd. It does the work of "certsd pull".
//
// Read pull.go first, then select.go, which chooses what to take of an index, for
// the platforms of platform.go. layout.go writes an image layout, with Docker's
// manifests turned into OCI's by ociform.go; containerd.go has a containerd pull.
// progress.go shows layers on their way.
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

// Request is an image that is wanted.
type Request struct {
	// Ref names the image.
	Ref imageref.Ref
	// Hosts are the registries. nil means resolver.DefaultHosts.
	Hosts *resolver.Hosts
	// Credentials are for the registry; see resolver.Options. nil means
	// anonymous.
	Credentials func(host string) (user, secret string, err error)
	// Platforms say what is taken of an image that is there for several.
	Platforms Platforms
	// PreserveDigests keeps Docker's manifests in a layout as they are, and with
	// them their digests. Otherwise they become OCI's, unless Ref has a digest:
	// see ociForm.
	PreserveDigests bool
	// Progress shows the layers on their way. It may be nil.
	Progress *progress.Reporter
}

// Result is an image that has arrived.
type Result struct {
	// Target is what carries the tag now: the image's manifest or index.
	Target ocispec.Descriptor
	// Resolved is what carries the tag in the registry. It differs from Target
	// where some platforms were taken of several, and where Docker's manifest
	// has become OCI's.
	Resolved ocispec.Descriptor
}

// InterruptedError is a pull that can be continued.
type InterruptedError struct {
	// Dir has what has arrived; it is empty if nothing has.
	Dir string
	// Canceled reports that the context ended the pull.
	Canceled bool
	// Err is what ended the pull.
	Err error
}

// Error says how to go on.
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

// resolver makes the resolver of a pull into a store.
func (r *Request) resolver(store content.Store, w *watch) *watched {
	inner := resolver.New(resolver.Options{
		Hosts:       r.Hosts,
		Credentials: r.Credentials,
		Store:       store,
		OnProgress:  w.conversion,
	})
	return &watched{Resolver: inner, watch: w}
}

// watched is a resolver whose layers are shown.
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
