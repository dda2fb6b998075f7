package imageservice

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The labels that CRI marks its images with.
const (
	labelManaged = "io.cri-containerd.image"
	managed      = "managed"
	labelPinned  = "io.cri-containerd.pinned"
	pinned       = "pinned"
)

// labels returns CRI's labels for an image.
func (c *configuration) labels(ref string) map[string]string {
	labels := map[string]string{labelManaged: managed}
	if c.pinned[ref] {
		labels[labelPinned] = pinned
	}
	return labels
}

// name creates a record of an image, or points an existing one to it. Other labels
// stay.
func (d *target) name(ctx context.Context, image images.Image) error {
	store := d.client.ImageService()
	for {
		_, err := store.Create(ctx, image)
		if !errdefs.IsAlreadyExists(err) {
			return err
		}
		old, err := store.Get(ctx, image.Name)
		if err == nil {
			fields := changes(old, image)
			if len(fields) == 0 {
				return nil
			}
			_, err = store.Update(ctx, image, fields...)
		}
		if !errdefs.IsNotFound(err) {
			return err
		}
		// It was removed meanwhile: try again.
	}
}

// changes returns the fields in which the record old differs from now.
func changes(old, now images.Image) []string {
	var fields []string
	if old.Target.Digest != now.Target.Digest {
		fields = append(fields, "target")
	}
	for key, value := range now.Labels {
		if old.Labels[key] != value {
			fields = append(fields, "labels."+key)
		}
	}
	return fields
}

const (
	// firstLook and lastLook are the first and the longest time between two checks
	// whether CRI knows an image, which takes it a few milliseconds.
	firstLook = 2 * time.Millisecond
	lastLook  = 250 * time.Millisecond
	// patience is how long CRI may take: it processes one image after another, and
	// retries failures after ten seconds.
	patience = time.Minute
)

// known waits until CRI knows an image by all its names: CRI learns from containerd's
// events what others have pulled, one name after another, and lists and removes only
// names that it knows. names begins with the ID.
func (d *target) known(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	service := runtime.NewImageServiceClient(d.ClientConn)
	wait := firstLook
	id := names[0]
	for _, name := range names[1:] {
		for {
			answer, err := service.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: name}})
			if err != nil {
				return fmt.Errorf("asking CRI for %s: %w", name, err)
			}
			if answer.GetImage().GetId() == id {
				break
			}
			select {
			case <-time.After(wait):
				wait = min(2*wait, lastLook)
			case <-ctx.Done():
				return fmt.Errorf("%s was pulled, but containerd's CRI does not list it: %w", name, context.Cause(ctx))
			}
		}
	}
	return nil
}
