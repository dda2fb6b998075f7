package resolver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
)

// TryPush checks whether a repository, HOST/NAME, can be pushed to: it starts an
// upload as a push does, with the same client certificates, credentials and scope,
// and cancels it. It sends no content. If the registry does not cancel the upload, as
// an [UploadLeftError] reports, an empty one remains, which registries remove by
// themselves.
func (r *Resolver) TryPush(ctx context.Context, repo string) error {
	spec, err := reference.Parse(repo)
	if err != nil {
		return fmt.Errorf("%q: %w", repo, err)
	}
	if spec.Object != "" || repository(spec) == spec.Hostname() {
		return fmt.Errorf("%q is not HOST/NAME: %w", repo, errdefs.ErrInvalidArgument)
	}
	ctx, trail := certsd.WithTrail(withoutCooldown(certsd.WithRepository(discreet.Context(ctx), repository(spec))))
	return explain(r.registries.tryPush(ctx, spec), repo, trail)
}

func (r *registries) tryPush(ctx context.Context, spec reference.Spec) error {
	e, err := r.toPush(spec)
	if err != nil {
		return err
	}
	// The slash at the end is part of the specification's path.
	uploads := &url.URL{Path: path.Join("/", e.Path, repository(spec), "blobs", "uploads") + "/"}
	resp, err := e.exchange(ctx, question{method: http.MethodPost, at: uploads})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusAccepted {
		return unexpected(resp)
	}
	closing(resp)
	at, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	if err := e.takeBack(ctx, at); err != nil {
		return &UploadLeftError{Host: e.Host, Err: err}
	}
	return nil
}

// takeBack cancels the upload at a location as given by locations: like the upload,
// the request goes to another host without this one's token.
func (e *endpoint) takeBack(ctx context.Context, at *url.URL) error {
	resp, err := e.exchange(ctx, question{method: http.MethodDelete, upload: at})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusAccepted {
		return unexpected(resp)
	}
	closing(resp)
	return nil
}

// toPush returns the endpoint that a push goes to.
func (r *registries) toPush(spec reference.Spec) (*endpoint, error) {
	endpoints, err := r.endpoints(spec, docker.HostCapabilityPush)
	if err != nil {
		return nil, err
	}
	if len(endpoints) == 0 {
		return nil, fmt.Errorf("%s has no endpoint to push to: %w", spec.Hostname(), errdefs.ErrNotFound)
	}
	return endpoints[0], nil
}

// UploadLeftError reports that a registry started an upload but did not cancel it.
type UploadLeftError struct {
	// Host is the endpoint's host.
	Host string
	Err  error
}

// Error implements error.
func (e *UploadLeftError) Error() string {
	return fmt.Sprintf("%s started an upload and did not cancel it: %s: the upload is empty, and the registry will remove it", e.Host, presentable(e.Err))
}

// Unwrap returns the cause.
func (e *UploadLeftError) Unwrap() error { return e.Err }
