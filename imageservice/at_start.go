package imageservice

import (
	"context"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// firstTry and lastTry are the first and the longest time between two tries of the
	// work at start: containerd or the network may come up later.
	firstTry = time.Second
	lastTry  = 5 * time.Minute
)

// Prepare does the work at start, and returns when it is done or ctx ends: it removes
// the leases of killed processes, and pulls the images that containerd would otherwise
// pull by itself, without certificates.
func (s *server) Prepare(ctx context.Context) {
	living := s.sweep(ctx)
	var images []string
	s.try(ctx, func(ctx context.Context) error {
		c, err := s.target.learn(namespaces.WithNamespace(ctx, namespace))
		for image := range c.pinned {
			images = append(images, image)
		}
		if err == nil {
			s.target.reached(ctx, c)
		}
		return err
	})
	slices.Sort(images)
	for _, image := range images {
		s.try(ctx, func(ctx context.Context) error { return s.bring(ctx, image) })
	}
	// A process that finishes its pulls may still be killed meanwhile.
	for living && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(lastTry):
			living = s.sweep(ctx)
		}
	}
}

func (s *server) sweep(ctx context.Context) (living bool) {
	s.try(ctx, func(ctx context.Context) (err error) {
		living, err = s.target.leases.sweep(ctx)
		return err
	})
	return living
}

// try calls do until it succeeds, and warns once of each reason for a failure.
func (s *server) try(ctx context.Context, do func(context.Context) error) {
	told := ""
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != told {
			s.target.warn("%w", err)
			told = text
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// bring pulls an image that is missing, if its registry is ours.
func (s *server) bring(ctx context.Context, image string) error {
	req, err := s.ours(&runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: image}})
	if err != nil || req == nil {
		return err
	}
	_, err = s.target.client.ImageService().Get(namespaces.WithNamespace(ctx, namespace), req.ref)
	if !errdefs.IsNotFound(err) {
		return err
	}
	_, err = s.image(ctx, req)
	return err
}
