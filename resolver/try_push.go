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

// TryPush finds out whether a repository, HOST/NAME, may be pushed to: it has an
// upload begun as a push does, with the same client certificates, the same
// credentials and the same scope, and takes it back. No byte is sent. What it
// leaves at a registry that takes no upload back, of which [UploadLeftError]
// tells, is an empty upload, which registries remove by themselves.
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

// takeBack cancels the upload at a location, as locations gives it: like the
// upload itself it goes to another host without the token of this one.
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

// toPush is the endpoint that a push goes to.
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

// UploadLeftError reports that a registry let an upload begin, and did not let it
// be taken back.
type UploadLeftError struct {
	// Host is the endpoint's.
	Host string
	Err  error
}

// Error says that it goes by itself.
func (e *UploadLeftError) Error() string {
	return fmt.Sprintf("%s started an upload and did not cancel it: %s: the upload is empty, and the registry will remove it", e.Host, presentable(e.Err))
}

// Unwrap is the cause.
func (e *UploadLeftError) Unwrap() error { return e.Err }
