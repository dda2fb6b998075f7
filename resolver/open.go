package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
)

// Lookup returns the configuration of a registry: see certsd.Hosts.Lookup.
func (h *Hosts) Lookup(registry string) (*certsd.Host, error) {
	return h.directories().Lookup(registry)
}

// Own returns the configuration in the directory named after a registry, or nil: see
// certsd.Hosts.Own.
func (h *Hosts) Own(registry string) (*certsd.Host, error) {
	return h.directories().Own(registry)
}

// Open requests an object of a kind, such as "blobs", in the repository of ref from
// each endpoint in order, and returns the first answer with status 200 or 206. Its
// body is streamed; the caller must close it. method is GET or HEAD; header has
// additional fields of the request, such as Range.
//
// Open is for callers that need the answer itself. The error is errdefs.ErrNotFound
// if every endpoint answered 404, a remoteserrors.ErrUnexpectedStatus for another
// answer, and lists what was tried like any other error of a Resolver.
func (r *Resolver) Open(ctx context.Context, ref, method string, header http.Header, kind, object string) (*http.Response, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return nil, err
	}
	ctx, trail := account(certsd.WithRepository(discreet.Context(ctx), repository(spec)))
	resp, err := r.registries.open(r.registries.ahead(ctx, spec.Hostname()), spec, method, header, kind, object)
	r.hosts.Hooks.watchedAnswer(Work{Registry: spec.Hostname(), Ref: ref, Digest: digest.Digest(object)}, method, kind, resp)
	return resp, explain(err, ref, trail)
}

// open asks the endpoints of a registry as [Resolver.Open] does.
func (r *registries) open(ctx context.Context, spec reference.Spec, method string, header http.Header, kind, object string) (*http.Response, error) {
	endpoints, err := r.endpoints(spec, docker.HostCapabilityPull)
	if err != nil {
		return nil, err
	}
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	// Content with a digest is needed as it is; net/http would decompress it.
	header.Set("Accept-Encoding", "identity")
	q := question{method: method, header: header, elements: []string{repository(spec), kind, object}}
	var failed, missing []error
	for _, e := range endpoints {
		resp, err := e.exchange(ctx, q)
		if err == nil {
			if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
				return resp, nil
			}
			err = unexpected(resp)
		}
		if errdefs.IsNotFound(err) {
			missing = append(missing, err)
		} else {
			failed = append(failed, err)
		}
	}
	switch {
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	case len(missing) > 0:
		return nil, errors.Join(missing...)
	default:
		return nil, fmt.Errorf("%s has no endpoint to pull from: %w", spec.Hostname(), errdefs.ErrNotFound)
	}
}

// unexpected returns an error for an answer, and closes it.
func unexpected(resp *http.Response) error {
	defer resp.Body.Close()
	err := remoteserrors.NewUnexpectedStatusErr(resp)
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return err
}
