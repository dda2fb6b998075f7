package plugin

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// remote is a registry as the source or target of a transfer, in place of
// containerd's registry.OCIRegistry.
type remote struct {
	request   *request
	resolver  *resolver.Resolver
	downloads *downloads
}

// The inner transfer service looks for each of these: without the option setter,
// max_concurrent_downloads would be lost silently.
var (
	_ transfer.ImageFetcher              = (*remote)(nil)
	_ transfer.ImagePusher               = (*remote)(nil)
	_ transfer.ImageResolverOptionSetter = (*remote)(nil)
	_ fmt.Stringer                       = (*remote)(nil)
)

// String names the registry in progress messages as the stock one does.
func (r *remote) String() string { return fmt.Sprintf("OCI Registry (%s)", r.request.reference) }

// Image returns the reference, as registry.OCIRegistry does.
func (r *remote) Image() string { return r.request.reference }

// Resolve implements transfer.ImageResolver.
func (r *remote) Resolve(ctx context.Context) (string, ocispec.Descriptor, error) {
	name, desc, err := r.resolver.Resolve(ctx, r.request.reference)
	if errdefs.IsNotImplemented(err) {
		// The gRPC service would take this for a transfer that nothing implements,
		// and answer with that instead of the reason.
		err = &refusedError{err}
	}
	return name, desc, err
}

// refusedError replaces the class of an error.
type refusedError struct{ error }

// Unwrap returns the new class and hides the cause and its class.
func (*refusedError) Unwrap() error { return errdefs.ErrFailedPrecondition }

// SetResolverOptions implements transfer.ImageResolverOptionSetter.
func (r *remote) SetResolverOptions(options ...transfer.ImageResolverOption) {
	r.resolver.SetOptions(r.downloads.forRegistry(r.request.reference, options)...)
}

// Fetcher implements transfer.ImageFetcher.
func (r *remote) Fetcher(ctx context.Context, ref string) (transfer.Fetcher, error) {
	return r.resolver.Fetcher(ctx, ref)
}

// Pusher implements transfer.ImagePusher. As in containerd, the digest becomes part
// of the reference, so that only this manifest is pushed by tag.
func (r *remote) Pusher(ctx context.Context, desc ocispec.Descriptor) (transfer.Pusher, error) {
	ref := r.request.reference
	if !strings.Contains(ref, "@") {
		ref += "@" + desc.Digest.String()
	}
	return r.resolver.Pusher(ctx, ref)
}
